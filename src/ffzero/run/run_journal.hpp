// The journal of a run's readings, and who writes it.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ffzero/device/journal.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// Readings of a run's devices, in its folder; nothing for a run that has none, or keeps none (device.journal).
class RunJournal {
 public:
  /// description: the settings as the run's checkpoint keeps them. folder: may be empty. say: told once if the file is full.
  /// @throws DataError for a journal that is not this run's, OutputError
  RunJournal(const Config& config, const std::string& description, const std::filesystem::path& folder,
             const std::function<void(const std::string&)>& say);
  /// To repeat that run. @throws DataError if it kept no journal
  RunJournal(const std::filesystem::path& folder, const std::string& description);

  /// From now on the devices of the network look their readings up here, and keep them here.
  void attach(const Network<float>& network) const;
  /// As ReadingJournal::saved.
  void saved(bool whole) const;
  /// The run has its summary: what only a run that was cut off needs is removed.
  void finished() const;
  /// What each device of the settings said of itself, in the order of their numbers; nothing for those that were left out. @throws
  /// DataError if the journal does not know
  [[nodiscard]] std::vector<std::string> devices(const Config& config, const std::vector<Index>& without) const;

 private:
  void attach(ForwardMap<float>& map, Index layer) const;

  std::filesystem::path file_;
  bool repeats_ = false, keeps_all_ = false;
  std::shared_ptr<ReadingJournal> journal_;
};

}  // namespace ffzero
