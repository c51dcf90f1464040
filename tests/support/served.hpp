// A simulated device behind a socket, in this process.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "ffzero/device/serve.hpp"

namespace ffzero::test {

/// A server of `map` in a thread of this process, from the constructor, which returns when it can be reached, to the destructor.
class Served {
 public:
  Served(std::unique_ptr<const ForwardMap<float>> map, const std::string& listen, const ServeOptions& options) : map_(std::move(map)) {
    std::promise<std::string> bound;
    auto ready = bound.get_future();
    thread_ = std::thread([this, listen, options, &bound] {
      serve(
          *map_, options, parse_device_address(listen), [this] { return stop_.load(); },
          [&bound](const std::string& name) { bound.set_value(name); });
    });
    address_ = ready.get();
  }
  ~Served() {
    stop_ = true;
    thread_.join();
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  std::unique_ptr<const ForwardMap<float>> map_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::string address_;
};

}  // namespace ffzero::test
