// A web server on 127.0.0.1 for the tests of fetching: ranges, redirects, broken connections, endless answers.
// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ffzero::test {

/// What the server does with a path.
struct Page {
  std::string content = {};
  bool ranges = true;         ///< honours "Range: bytes=N-"; otherwise sends everything with status 200
  long break_after = -1;      ///< closes the connection after so many bytes of the body
  std::string redirect = {};  ///< answers 302 to this address
  bool endless = false;       ///< sends the content again and again, without a length
};

/// Serves one connection after the other until it is destroyed. Unknown paths get 404.
class LoopbackServer {
 public:
  explicit LoopbackServer(std::map<std::string, Page> pages) : pages_(std::move(pages)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    port_ = bind_to_free_port(listener_);
    if (::listen(listener_, 8) != 0) throw std::runtime_error("loopback server: listen");
    thread_ = std::thread([this] { serve(); });
  }
  ~LoopbackServer() {
    stop_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  [[nodiscard]] std::string url() const { return url_of(port_); }
  /// Requests so far: path, and " N-" if bytes from N on were asked for.
  [[nodiscard]] std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// False where even 127.0.0.1 cannot be reached: a machine cut off from every network, its own included.
  static bool reachable() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(bind_to_free_port(listener)));
    const bool reached = ::listen(listener, 1) == 0 && ::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    ::close(client);
    ::close(listener);
    return reached;
  }

  /// An address at which nobody listens.
  static std::string dead_url() {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int port = bind_to_free_port(socket);
    ::close(socket);
    return url_of(port);
  }

 private:
  static std::string url_of(int port) { return "http://127.0.0.1:" + std::to_string(port) + "/"; }
  static int bind_to_free_port(int socket) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("loopback server: bind");
    }
    return ntohs(address.sin_port);
  }

  void serve() {
    while (!stop_) {
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) continue;
      answer(client);
      ::close(client);
    }
  }

  void answer(int client) {
    std::string request;
    char chunk[2048];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(client, chunk, sizeof(chunk), 0);
      if (got <= 0) return;
      request.append(chunk, static_cast<std::size_t>(got));
    }
    const std::size_t begin = request.find(' ') + 1;
    const std::string path = request.substr(begin, request.find(' ', begin) - begin);
    const std::size_t range = request.find("Range: bytes=");
    const std::size_t from = range == std::string::npos ? 0 : std::stoul(request.substr(range + 13));
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(path + (from > 0 ? " " + std::to_string(from) + "-" : ""));
    }
    const auto page = pages_.find(path);
    if (page == pages_.end()) {
      send_all(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
    } else {
      send_page(client, page->second, from);
    }
  }

  void send_page(int client, const Page& page, std::size_t from) {
    const std::string close = "Connection: close\r\n\r\n";
    if (!page.redirect.empty()) {
      send_all(client, "HTTP/1.1 302 Found\r\nLocation: " + page.redirect + "\r\nContent-Length: 0\r\n" + close);
    } else if (page.endless) {
      send_all(client, "HTTP/1.1 200 OK\r\n" + close);
      while (!stop_ && send_all(client, page.content)) {
      }
    } else if (from > 0 && page.ranges && from >= page.content.size()) {
      send_all(client, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n" + close);
    } else {
      const bool partial = from > 0 && page.ranges;
      std::string body = page.content.substr(partial ? from : 0);
      std::string head = partial ? "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + std::to_string(from) + "-" +
                                       std::to_string(page.content.size() - 1) + "/" + std::to_string(page.content.size()) + "\r\n"
                                 : "HTTP/1.1 200 OK\r\n";
      head += "Content-Length: " + std::to_string(body.size()) + "\r\n" + close;
      if (page.break_after >= 0) body.resize(static_cast<std::size_t>(page.break_after));
      if (send_all(client, head)) send_all(client, body);
    }
  }

  static bool send_all(int client, const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t count = ::send(client, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    return true;
  }

  std::map<std::string, Page> pages_;
  std::vector<std::string> requests_;
  mutable std::mutex mutex_;
  std::atomic<bool> stop_{false};
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace ffzero::test
