// Serving over descriptors and sockets.
// SPDX-License-Identifier: MIT
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/device/descriptor.hpp"
#include "ffzero/device/serve.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

constexpr int kLook_ms = 100;                    // how often `stop` is asked
constexpr std::size_t kMostWaiting = 16U << 20;  // answers that nobody reads
constexpr std::size_t kPipeRoom = 4096;          // poll promises room for so much in a pipe
constexpr Microseconds kFarewell{1000000};       // how long a host that was turned away may take to read why

/// One host on a pair of descriptors.
class HostedStream {
 public:
  HostedStream(const ForwardMap<float>& map, const ServeOptions& options, int in, int out, bool socket)
      : server_(map, options, system_clock()), in_(in), out_(out), socket_(socket), piece_(1 << 16) {}

  /// What to wait for, see poll.
  [[nodiscard]] std::array<pollfd, 2> wishes() const {
    return {pollfd{.fd = waiting_.size() < kMostWaiting ? in_ : -1, .events = POLLIN, .revents = 0},
            pollfd{.fd = waiting_.empty() ? -1 : out_, .events = POLLOUT, .revents = 0}};
  }
  [[nodiscard]] int patience_ms() const {
    const auto next = server_.next_time();
    if (!next) return kLook_ms;
    const auto left = std::chrono::ceil<Milliseconds>(*next - system_clock().now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, kLook_ms));
  }
  /// After poll; false when it is over.
  [[nodiscard]] bool go_on(const std::array<pollfd, 2>& seen) {
    if (seen[0].revents != 0) {
      const auto count = read_some(in_, piece_);
      if (count < 0) return false;
      server_.feed({piece_.data(), static_cast<std::size_t>(count)});
    }
    server_.tick();
    waiting_ += server_.take();
    while (!waiting_.empty()) {
      // Only what poll has promised room for: the descriptor of a pipe may be blocking.
      if (!socket_ && (pollout() & POLLOUT) == 0) break;
      const std::size_t most = socket_ ? waiting_.size() : std::min(waiting_.size(), kPipeRoom);
      const auto sent = write_quietly(out_, std::string_view(waiting_).substr(0, most), socket_);
      if (sent < 0) return false;
      if (sent == 0) break;
      waiting_.erase(0, static_cast<std::size_t>(sent));
    }
    return !(server_.finished() && waiting_.empty());
  }
  void end() { server_.disconnected(); }

 private:
  [[nodiscard]] short pollout() const {
    pollfd out{.fd = out_, .events = POLLOUT, .revents = 0};
    return ::poll(&out, 1, 0) > 0 ? out.revents : short{0};
  }

  DeviceServer server_;
  int in_, out_;
  bool socket_;
  std::vector<char> piece_;
  std::string waiting_;
};

std::string server_place(const DeviceAddress& address) { return "device serve " + clean_text(address.text); }

[[noreturn]] void refuse(const DeviceAddress& address, int reason) {
  throw DeviceError(DeviceFailure::disconnected, server_place(address), "cannot be listened on", system_reason(reason),
                    reason == EADDRINUSE ? "end the server that uses it or choose another" : "choose another address");
}

Descriptor listen_tcp(const DeviceAddress& address, std::string& name) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (const int failure = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &wanted, &found); failure != 0)
    throw DeviceError(DeviceFailure::disconnected, server_place(address), "the host is unknown", ::gai_strerror(failure), "use 127.0.0.1");
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  Descriptor listener(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(listener.get(), 8) != 0) refuse(address, errno);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  const in_port_t port = bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                                     : reinterpret_cast<const sockaddr_in&>(bound).sin_port;
  const bool brackets = address.host.find(':') != std::string::npos;
  name = "tcp:" + (brackets ? "[" + address.host + "]" : address.host) + ":" + std::to_string(ntohs(port));
  return listener;
}

Descriptor listen_local(const DeviceAddress& address) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, address.path.c_str(), std::min(address.path.size(), sizeof where.sun_path - 1));
  const auto* const at = reinterpret_cast<const sockaddr*>(&where);
  Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::fchmod(listener.get(), 0600);
  if (::bind(listener.get(), at, sizeof where) != 0) {
    if (errno != EADDRINUSE) refuse(address, errno);
    // A socket that nobody answers on was left behind by a server that was killed.
    struct stat file {};
    const Descriptor asking(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const bool left_behind = ::lstat(address.path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode) &&
                             ::connect(asking.get(), at, sizeof where) != 0 && errno == ECONNREFUSED;
    if (!left_behind) refuse(address, EADDRINUSE);
    ::unlink(address.path.c_str());
    if (::bind(listener.get(), at, sizeof where) != 0) refuse(address, errno);
  }
  ::chmod(address.path.c_str(), 0600);
  if (::listen(listener.get(), 8) != 0) refuse(address, errno);
  return listener;
}

/// Hosts that were turned away, until they have had time to read why.
class TurnedAway {
 public:
  void add(Descriptor host) {
    constexpr std::string_view why = "0 error fatal busy\n";
    static_cast<void>(write_quietly(host.get(), why, true));
    ::shutdown(host.get(), SHUT_WR);
    hosts_.push_back({std::move(host), system_clock().now() + kFarewell});
  }
  void look() {
    std::array<char, 4096> piece;
    std::erase_if(hosts_, [&](const Host& host) { return read_some(host.stream.get(), piece) < 0 || system_clock().now() > host.until; });
  }

 private:
  struct Host {
    Descriptor stream;
    Microseconds until;
  };
  std::vector<Host> hosts_;
};

}  // namespace

void serve(const ForwardMap<float>& map, const ServeOptions& options, int in, int out, const std::function<bool()>& stop) {
  HostedStream host(map, options, in, out, false);
  bool on = true;
  while (on && !(stop && stop())) {
    auto watched = host.wishes();
    ::poll(watched.data(), watched.size(), host.patience_ms());
    on = host.go_on(watched);
  }
  host.end();
}

void serve(const ForwardMap<float>& map, const ServeOptions& options, const DeviceAddress& address, const std::function<bool()>& stop,
           const std::function<void(const std::string&)>& ready) {
  if (address.kind != TransportKind::tcp && address.kind != TransportKind::local)
    throw UsageError(server_place(address), "only tcp: and unix: can be listened on", "",
                     "without an address standard input and output are served");
  std::string name = address.text;
  const Descriptor listener = address.kind == TransportKind::tcp ? listen_tcp(address, name) : listen_local(address);
  if (ready) ready(name);
  TurnedAway turned_away;
  Descriptor stream;
  std::optional<HostedStream> host;
  while (!(stop && stop())) {
    std::array<pollfd, 3> watched{pollfd{.fd = listener.get(), .events = POLLIN, .revents = 0}, pollfd{.fd = -1, .events = 0, .revents = 0},
                                  pollfd{.fd = -1, .events = 0, .revents = 0}};
    if (host) {
      const auto wishes = host->wishes();
      std::copy(wishes.begin(), wishes.end(), watched.begin() + 1);
    }
    ::poll(watched.data(), watched.size(), host ? host->patience_ms() : kLook_ms);
    turned_away.look();
    if (host && !host->go_on({watched[1], watched[2]})) {
      host->end();
      host.reset();
      stream.reset();
    }
    if (watched[0].revents == 0) continue;
    Descriptor next(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!next.open()) continue;
    if (host) {
      turned_away.add(std::move(next));
      continue;
    }
    const int on = 1;
    ::setsockopt(next.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stream = std::move(next);
    host.emplace(map, options, stream.get(), stream.get(), true);
  }
  if (host) host->end();
  if (address.kind == TransportKind::local) ::unlink(address.path.c_str());
}

}  // namespace ffzero
