// A device of which only its words are left.
// SPDX-License-Identifier: MIT
#include "ffzero/device/recorded.hpp"

#include <algorithm>
#include <utility>

namespace ffzero {

namespace {

/// Says its lines, whatever it is told, and ends.
class RecordedStream final : public Transport {
 public:
  explicit RecordedStream(std::string said) : said_(std::move(said)) {}
  Moved exchange(std::string_view out, std::span<char> in, Milliseconds /*wait*/) override {
    const std::size_t count = std::min(in.size(), said_.size());
    std::copy_n(said_.begin(), count, in.begin());
    said_.erase(0, count);
    return {.sent = out.size(), .received = count, .ended = count == 0};
  }
  void close(Milliseconds /*grace*/) noexcept override {}

 private:
  std::string said_;
};

}  // namespace

std::unique_ptr<DeviceClient> recorded_client(std::string_view name, std::string_view said) {
  std::string answer;
  for (auto end = said.find('\n'); end != std::string_view::npos; end = said.find('\n')) {
    answer.append("0 ").append(said.substr(0, end + 1));
    said.remove_prefix(end + 1);
  }
  answer += "0 ok\n";
  return std::make_unique<DeviceClient>(
      std::string(name), [answer] { return std::make_unique<RecordedStream>(answer); }, ClientOptions{}, system_clock());
}

}  // namespace ffzero
