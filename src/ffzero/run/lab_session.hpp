// A training whose readings somebody else takes: ask and tell.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/device/call_map.hpp"
#include "ffzero/device/request_queue.hpp"
#include "ffzero/settings/build_network.hpp"
#include "ffzero/train/predictor.hpp"
#include "ffzero/train/train.hpp"

namespace ffzero {

/// Trains in a thread of its own through devices that are asked for readings by ask() and tell(): whoever owns the laboratory owns the
/// loop. All members may be called from any thread, also at once. What save() writes at any moment is gone on with to the same bits, given
/// the same readings.
class LabSession {
 public:
  /// config: not resolved yet, with as many devices as are described. splits: of one input size; kept. saved: a file of save(), or empty.
  /// @throws ConfigError, DataError as training would
  LabSession(Config config, Splits splits, std::vector<CallDescription> devices, int threads, const std::filesystem::path& saved = {});
  ~LabSession();
  LabSession(const LabSession&) = delete;
  LabSession& operator=(const LabSession&) = delete;

  /// See RequestQueue.
  [[nodiscard]] std::optional<RequestQueue::Request> ask(double seconds = -1.0);
  void tell(std::uint64_t id, const Matrix<float>& y);
  void fail(std::uint64_t id, bool retry, const std::string& why = "a reading that failed");
  /// True when training is over, well or not: result() says which.
  [[nodiscard]] bool finished() const;

  /// Everything that the session is gone on with from, in one file, replaced at once. @throws OutputError
  void save(const std::filesystem::path& file) const;
  /// Ends the training at its next reading. Nothing is lost that save() has written.
  void close();

  /// What training came to; waits for its end. @throws what ended it
  [[nodiscard]] const TrainResult& result();
  /// The trained network on devices that answer by themselves, one for each that was described.
  [[nodiscard]] Predictor predictor(const DeviceMaps<float>& devices);
  [[nodiscard]] const Config& config() const noexcept;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace ffzero
