// The journal of a run's readings.
// SPDX-License-Identifier: MIT
#include "ffzero/run/run_journal.hpp"

#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

RunJournal::RunJournal(const Config& config, const std::string& description, const std::filesystem::path& folder,
                       const std::function<void(const std::string&)>& say) {
  const Values& v = config.values();
  if (folder.empty() || !v.is("model.kind", "device") || v.is("device.journal", "off")) return;
  file_ = folder / ReadingJournal::kFile;
  keeps_all_ = v.is("device.journal", "all");
  journal_ = std::make_shared<ReadingJournal>(
      file_, ReadingJournal::Options{.run = digest_of(description),
                                     .keep = keeps_all_ ? ReadingJournal::Keep::all : ReadingJournal::Keep::since_save,
                                     .most_bytes = v.integer("device.journal_mb") << 20U,
                                     .message = say});
}

RunJournal::RunJournal(const std::filesystem::path& folder, const std::string& description)
    : repeats_(true),
      journal_(std::make_shared<ReadingJournal>(ReadingJournal::replay(folder / ReadingJournal::kFile, digest_of(description)))) {}

void RunJournal::attach(const Network<float>& network) const {
  for (Index i = 0; journal_ != nullptr && i < network.layers(); ++i)
    if (auto* const device = dynamic_cast<DeviceMap<float>*>(&innermost(*network.layer(i).map)))
      device->keep_journal(journal_, static_cast<std::uint32_t>(i));
}

void RunJournal::saved(bool whole) const {
  if (journal_ != nullptr) journal_->saved(whole);
}

void RunJournal::finished() const {
  std::error_code ignored;
  if (journal_ != nullptr && !repeats_ && !keeps_all_) std::filesystem::remove(file_, ignored);
}

std::vector<std::string> RunJournal::devices(const Config& config) const {
  std::vector<std::string> said;
  for (Index i = 0; i < isize(config.devices().size()); ++i) {
    const auto found = journal_->descriptions().find(static_cast<std::uint32_t>(config.first_device() + i));
    if (found == journal_->descriptions().end())
      throw DataError(ReadingJournal::kFile, "must say what the devices of the run are", "nothing about device" + std::to_string(i),
                      "give the folder of a run with device.journal = \"all\"");
    said.push_back(found->second);
  }
  return said;
}

}  // namespace ffzero
