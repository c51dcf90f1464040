// Transports: programs, sockets and serial lines, all by poll.
// SPDX-License-Identifier: MIT
#include "ffzero/device/transport.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/device/descriptor.hpp"
#include "ffzero/device/text.hpp"

extern char** environ;

namespace ffzero {

namespace {

std::string device_place(const DeviceAddress& address) { return "device " + clean_text(address.text); }

int wait_of(Milliseconds wait) { return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 24LL * 3600 * 1000)); }

/// Moves bytes over one descriptor for each way.
class DescriptorTransport : public Transport {
 public:
  Moved exchange(std::string_view out, std::span<char> in, Milliseconds wait) override {
    Moved moved;
    if (closed()) return {.ended = true};
    // Mostly there is room, so that asking first would cost a call.
    if (!out.empty()) send(out, moved);
    if (moved.ended) {
      // A device that died may have said why.
      receive(in, moved);
      return moved;
    }
    std::array<pollfd, 3> watched{pollfd{.fd = input(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = moved.sent < out.size() ? output() : -1, .events = POLLOUT, .revents = 0},
                                  pollfd{.fd = side(), .events = POLLIN, .revents = 0}};
    const int ready = ::poll(watched.data(), watched.size(), moved.sent > 0 ? 0 : wait_of(wait));
    if (ready <= 0) return moved;
    if (watched[2].revents != 0) {
      drain_side();
      moved.side = true;
    }
    if (watched[1].revents != 0 && moved.sent == 0) send(out, moved);
    if (watched[0].revents != 0) receive(in, moved);
    return moved;
  }

 protected:
  [[nodiscard]] virtual int input() const = 0;
  [[nodiscard]] virtual int output() const = 0;
  [[nodiscard]] virtual int side() const { return -1; }
  [[nodiscard]] virtual bool socket() const { return false; }
  [[nodiscard]] virtual bool closed() const { return input() < 0; }
  virtual void drain_side() {}

 private:
  void send(std::string_view out, Moved& moved) {
    const auto sent = write_quietly(output(), out, socket());
    if (sent < 0)
      moved.ended = true;
    else
      moved.sent = static_cast<std::size_t>(sent);
  }
  void receive(std::span<char> in, Moved& moved) {
    const auto received = read_some(input(), in);
    if (received < 0)
      moved.ended = true;
    else
      moved.received = static_cast<std::size_t>(received);
  }
};

/// A socket or a serial line.
class StreamTransport final : public DescriptorTransport {
 public:
  StreamTransport(Descriptor stream, bool is_socket) : stream_(std::move(stream)), socket_(is_socket) {}
  void close(Milliseconds /*grace*/) noexcept override { stream_.reset(); }

 protected:
  [[nodiscard]] int input() const override { return stream_.get(); }
  [[nodiscard]] int output() const override { return stream_.get(); }
  [[nodiscard]] bool socket() const override { return socket_; }

 private:
  Descriptor stream_;
  bool socket_;
};

/// A program with pipes for the protocol and its standard error.
class ExecTransport final : public DescriptorTransport {
 public:
  explicit ExecTransport(const DeviceAddress& address) {
    auto [in_there, in_here] = make_pipe(address);
    auto [out_here, out_there] = make_pipe(address);
    auto [err_here, err_there] = make_pipe(address);
    std::vector<char*> words;
    std::vector<std::string> copies = address.words;
    for (std::string& word : copies) words.push_back(word.data());
    words.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_there.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out_there.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err_there.get(), STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    const int failure = posix_spawnp(&process_, words[0], &actions, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) {
      process_ = -1;
      throw DeviceError(DeviceFailure::disconnected, device_place(address), "the program cannot be started",
                        clean_text(address.words.front()) + ": " + system_reason(failure), "check its path and that it may be executed");
    }
    input_ = std::move(in_here);
    output_ = std::move(out_here);
    error_ = std::move(err_here);
    for (const Descriptor* d : {&input_, &output_, &error_}) make_nonblocking(d->get());
  }
  ~ExecTransport() override { close(Milliseconds(0)); }

  std::string take_side_output() override {
    drain_side();
    return std::exchange(said_, {});
  }

  [[nodiscard]] long process() const override { return std::max<long>(process_, 0); }

  std::string ending() override {
    siginfo_t info{};
    // A program that closed its output is about to end: the reason is worth a moment.
    for (int i = 0; i < 20 && process_ > 0 && !ended(info); ++i) ::poll(nullptr, 0, 5);
    if (process_ > 0 && ended(info)) describe(info);
    return ending_;
  }

  void stop_reading() noexcept override { output_.reset(); }

  void drop() noexcept override {
    input_.reset();
    output_.reset();
    error_.reset();
  }

  void close(Milliseconds grace) noexcept override {
    if (process_ <= 0) return;
    input_.reset();
    if (!wait_for_end(grace)) {
      ::kill(-process_, SIGTERM);
      wait_for_end(std::max(grace, Milliseconds(200)));
    }
    // Not reaped before the group is gone: until then nobody else can get its number.
    siginfo_t info{};
    const bool by_itself = ended(info);
    if (by_itself) describe(info);
    ::kill(-process_, SIGKILL);
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    if (!by_itself) ending_ = "signal 9";
    process_ = -1;
    drain_side();
    output_.reset();
    error_.reset();
  }

 protected:
  [[nodiscard]] int input() const override { return output_.get(); }
  [[nodiscard]] int output() const override { return input_.get(); }
  [[nodiscard]] int side() const override { return error_.get(); }
  [[nodiscard]] bool closed() const override { return !input_.open(); }
  void drain_side() override {
    std::array<char, 4096> piece;
    // A flood must not keep the protocol waiting: at most 1 MiB in one go, of which the last 64 KiB are kept.
    for (int i = 0; i < 256 && error_.open(); ++i) {
      const auto count = read_some(error_.get(), piece);
      if (count < 0) error_.reset();
      if (count <= 0) break;
      said_.append(piece.data(), static_cast<std::size_t>(count));
      if (said_.size() > 128 * 1024) said_.erase(0, said_.size() - 64 * 1024);
    }
  }

 private:
  static std::pair<Descriptor, Descriptor> make_pipe(const DeviceAddress& address) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw DeviceError(DeviceFailure::disconnected, device_place(address), "no pipe can be opened", system_reason(errno));
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }

  // True if the program has ended; it is not reaped, so that its number stays taken.
  bool ended(siginfo_t& info) const noexcept {
    info = siginfo_t{};
    return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == process_;
  }
  void describe(const siginfo_t& info) {
    ending_ = (info.si_code == CLD_EXITED ? "exit code " : "signal ") + std::to_string(info.si_status);
  }
  bool wait_for_end(Milliseconds limit) noexcept {
    siginfo_t info{};
    const auto until = system_clock().now() + limit;
    while (true) {
      if (ended(info)) return true;
      const auto left = std::chrono::duration_cast<Milliseconds>(until - system_clock().now());
      if (left.count() <= 0) return false;
      // Its last words must not block it.
      std::array<char, 4096> piece;
      if (output_.open() && read_some(output_.get(), piece) < 0) output_.reset();
      drain_side();
      ::poll(nullptr, 0, static_cast<int>(std::min<std::int64_t>(left.count(), 2)));
    }
  }

  pid_t process_ = -1;
  Descriptor input_, output_, error_;  // named from the program's side
  std::string said_, ending_;
};

// --- sockets ----------------------------------------------------------------------------------------------------------------------

// Error number of the connection, 0 if it stands.
int finish_connecting(int stream, Milliseconds limit) {
  pollfd watched{.fd = stream, .events = POLLOUT, .revents = 0};
  int ready = -1;
  do {
    ready = ::poll(&watched, 1, wait_of(limit));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return ETIMEDOUT;
  int reason = 0;
  socklen_t size = sizeof reason;
  ::getsockopt(stream, SOL_SOCKET, SO_ERROR, &reason, &size);
  return reason;
}

int connect_to(const Descriptor& stream, const sockaddr* where, socklen_t size, Milliseconds limit) {
  if (!stream.open()) return errno;
  if (::connect(stream.get(), where, size) == 0) return 0;
  return errno == EINPROGRESS || errno == EINTR ? finish_connecting(stream.get(), limit) : errno;
}

std::unique_ptr<Transport> open_tcp(const DeviceAddress& address, Milliseconds limit) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV;
  if (const int failure = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &wanted, &found); failure != 0)
    throw DeviceError(DeviceFailure::disconnected, device_place(address), "the host is unknown", ::gai_strerror(failure), "check its name");
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Descriptor stream(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    reason = connect_to(stream, at->ai_addr, at->ai_addrlen, limit);
    if (reason != 0) continue;
    const int on = 1;
    ::setsockopt(stream.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(stream.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return std::make_unique<StreamTransport>(std::move(stream), true);
  }
  throw DeviceError(DeviceFailure::disconnected, device_place(address), "no connection", system_reason(reason),
                    "start the device's server, check host and port");
}

std::unique_ptr<Transport> open_local(const DeviceAddress& address, Milliseconds limit) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, address.path.c_str(), std::min(address.path.size(), sizeof where.sun_path - 1));
  Descriptor stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (const int reason = connect_to(stream, reinterpret_cast<const sockaddr*>(&where), sizeof where, limit); reason != 0)
    throw DeviceError(DeviceFailure::disconnected, device_place(address), "no connection", system_reason(reason),
                      "start the device's server, check the path");
  return std::make_unique<StreamTransport>(std::move(stream), true);
}

// --- serial lines -----------------------------------------------------------------------------------------------------------------

speed_t speed_of(const DeviceAddress& address) {
  constexpr std::array<std::pair<long, speed_t>, 18> known{{{1200, B1200},
                                                            {2400, B2400},
                                                            {4800, B4800},
                                                            {9600, B9600},
                                                            {19200, B19200},
                                                            {38400, B38400},
                                                            {57600, B57600},
                                                            {115200, B115200},
                                                            {230400, B230400},
                                                            {460800, B460800},
                                                            {500000, B500000},
                                                            {576000, B576000},
                                                            {921600, B921600},
                                                            {1000000, B1000000},
                                                            {1500000, B1500000},
                                                            {2000000, B2000000},
                                                            {3000000, B3000000},
                                                            {4000000, B4000000}}};
  for (const auto& [rate, speed] : known)
    if (rate == address.baud) return speed;
  throw UsageError("device address \"" + clean_text(address.text) + "\"", "baud must be a usual rate", std::to_string(address.baud),
                   "use 9600, 115200, 921600, 1000000, ...");
}

std::unique_ptr<Transport> open_serial(const DeviceAddress& address) {
  const speed_t speed = speed_of(address);
  Descriptor line(::open(address.path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  const auto refuse = [&](const char* requirement, const char* remedy) {
    throw DeviceError(DeviceFailure::disconnected, device_place(address), requirement, system_reason(errno), remedy);
  };
  if (!line.open()) refuse("the line cannot be opened", "check the path and the right to use it (group dialout)");
  termios settings{};
  if (::tcgetattr(line.get(), &settings) != 0) refuse("not a serial line", "name a terminal device like /dev/ttyACM0");
  ::cfmakeraw(&settings);
  settings.c_cflag |= static_cast<tcflag_t>(CLOCAL | CREAD);
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  ::cfsetispeed(&settings, speed);
  ::cfsetospeed(&settings, speed);
  if (::tcsetattr(line.get(), TCSANOW, &settings) != 0) refuse("the line refuses its settings", "try another baud rate");
  ::ioctl(line.get(), TIOCEXCL);
  ::tcflush(line.get(), TCIOFLUSH);
  return std::make_unique<StreamTransport>(std::move(line), false);
}

}  // namespace

std::unique_ptr<Transport> open_transport(const DeviceAddress& address, Milliseconds connect) {
  switch (address.kind) {
    case TransportKind::exec:
      return std::make_unique<ExecTransport>(address);
    case TransportKind::tcp:
      return open_tcp(address, connect);
    case TransportKind::local:
      return open_local(address, connect);
    case TransportKind::serial:
      return open_serial(address);
  }
  throw DeviceError(device_place(address), "unknown kind of address");
}

}  // namespace ffzero
