// A device in memory: no processes, no sockets, and a clock that moves only when somebody waits.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "ffzero/device/client.hpp"
#include "ffzero/device/serve.hpp"
#include "ffzero/device/transport.hpp"

namespace ffzero::test {

class FakeClock final : public Clock {
 public:
  [[nodiscard]] Microseconds now() const override { return now_; }
  void sleep(Microseconds duration) override { now_ += duration; }

 private:
  Microseconds now_{1000000};
};

/// y_k = sum_i theta_ik x_i: outputs that show every parameter and every input. Counts its calls.
class Product final : public ForwardMap<float> {
 public:
  Product(Index inputs, Index outputs) : inputs_(inputs), outputs_(outputs) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return inputs_ * outputs_; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    ++calls;
    // Row by row: what a row gives must not depend on the others, not even in its last bit.
    for (Index i = 0; i < x.rows(); ++i)
      for (Index k = 0; k < outputs_; ++k) {
        float sum = 0.0F;
        for (Index j = 0; j < inputs_; ++j) sum += theta[usize(j * outputs_ + k)] * x(i, j);
        y(i, k) = sum;
      }
  }
  mutable int calls = 0;

 private:
  Index inputs_, outputs_;
};

/// What stands at the other end of the stream.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void feed(std::string_view bytes) = 0;
  virtual std::string take() = 0;
  [[nodiscard]] virtual bool ended() const { return false; }
  [[nodiscard]] virtual std::optional<Microseconds> next_time() const { return std::nullopt; }
  virtual void disconnected() {}
};

/// A real server, whose words may be changed on the way. Told what it hears.
class ServerPeer final : public Peer {
 public:
  using Change = std::function<std::string(std::string)>;
  ServerPeer(const ForwardMap<float>& map, const ServeOptions& options, const Clock& clock, Change up = {}, Change down = {})
      : server_(map, options, clock), up_(std::move(up)), down_(std::move(down)) {}
  void feed(std::string_view bytes) override { server_.feed(down_ ? down_(std::string(bytes)) : std::string(bytes)); }
  std::string take() override {
    server_.tick();
    std::string said = server_.take();
    return up_ && !said.empty() ? up_(said) : said;
  }
  [[nodiscard]] bool ended() const override { return server_.finished(); }
  [[nodiscard]] std::optional<Microseconds> next_time() const override { return server_.next_time(); }
  void disconnected() override { server_.disconnected(); }

 private:
  DeviceServer server_;
  Change up_, down_;
};

/// Answers each line as it is told to. An answer that ends in "\x04" is the last one: the stream ends.
class ScriptPeer final : public Peer {
 public:
  using Script = std::function<std::string(const std::string&)>;
  explicit ScriptPeer(Script script) : script_(std::move(script)) {}
  void feed(std::string_view bytes) override {
    heard_ += bytes;
    for (auto end = heard_.find('\n'); end != std::string::npos; end = heard_.find('\n')) {
      said_ += script_(heard_.substr(0, end));
      heard_.erase(0, end + 1);
    }
  }
  std::string take() override {
    std::string said = std::exchange(said_, {});
    if (said.ends_with('\x04')) {
      ended_ = true;
      said.pop_back();
    }
    return said;
  }
  [[nodiscard]] bool ended() const override { return ended_; }

 private:
  Script script_;
  std::string heard_, said_;
  bool ended_ = false;
};

/// Waiting moves the clock, nothing else does. Delivers at most `piece` bytes at once.
class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Peer> peer, FakeClock& clock, std::size_t piece = 1 << 20)
      : peer_(std::move(peer)), clock_(clock), piece_(piece) {}
  ~MemoryTransport() override { close(Milliseconds(0)); }
  Moved exchange(std::string_view out, std::span<char> in, Milliseconds wait) override {
    if (closed_) return {.ended = true};
    const std::size_t sent = std::min(out.size(), piece_);
    if (sent > 0) peer_->feed(out.substr(0, sent));
    said_ += peer_->take();
    if (said_.empty() && sent == 0 && !peer_->ended()) {
      const auto next = peer_->next_time();
      const Microseconds until = clock_.now() + std::max<Microseconds>(wait, Milliseconds(1));
      clock_.sleep(std::max(std::min(next.value_or(until), until) - clock_.now(), Microseconds(0)));
      said_ += peer_->take();
    }
    const std::size_t count = std::min({said_.size(), in.size(), piece_});
    std::copy_n(said_.begin(), count, in.begin());
    said_.erase(0, count);
    return {.sent = sent, .received = count, .ended = count == 0 && said_.empty() && peer_->ended()};
  }
  void close(Milliseconds /*grace*/) noexcept override {
    if (!std::exchange(closed_, true)) peer_->disconnected();
  }

 private:
  std::shared_ptr<Peer> peer_;
  FakeClock& clock_;
  std::size_t piece_;
  std::string said_;
  bool closed_ = false;
};

/// A client of peers that `make` makes, one for each start.
inline std::unique_ptr<DeviceClient> client_of(FakeClock& clock, std::function<std::shared_ptr<Peer>()> make,
                                               const ClientOptions& options = {}, std::size_t piece = 1 << 20) {
  return std::make_unique<DeviceClient>(
      "memory", [make = std::move(make), &clock, piece] { return std::make_unique<MemoryTransport>(make(), clock, piece); }, options,
      clock);
}

}  // namespace ffzero::test
