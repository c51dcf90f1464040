// The server of ffzero watch.
// SPDX-License-Identifier: MIT
#include "watch_server.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"

namespace ffzero::app {

namespace {

constexpr const char* kHtml = "text/html; charset=utf-8";

// Replaces the body when it has changed; what the reader has opened stays open.
constexpr const char* kScript = R"JS(
const live = document.getElementById('live'), lost = document.getElementById('lost');
let version = live.dataset.version;
async function look() {
  try {
    const answer = await fetch('/live?' + version, {cache: 'no-store'});
    if (answer.status === 200) {
      const open = [...live.querySelectorAll('details')].map(d => d.open);
      live.innerHTML = await answer.text();
      live.querySelectorAll('details').forEach((d, i) => { if (i in open) d.open = open[i]; });
      version = answer.headers.get('X-Version');
      showCurves();
    }
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  setTimeout(look, 2000);
}
look();
)JS";

// Scripts only from here and none within the page: what slipped through the escaping would still not run. Nothing else is loaded.
const httplib::Headers kHeaders{{"Content-Security-Policy",
                                 "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data:; "
                                 "base-uri 'none'; form-action 'none'; "
                                 "frame-ancestors 'none'"},
                                {"X-Content-Type-Options", "nosniff"},
                                {"Referrer-Policy", "no-referrer"},
                                {"Cross-Origin-Resource-Policy", "same-origin"},
                                {"Cache-Control", "no-store"}};

bool names_this_server(const httplib::Request& request, int port) {
  const std::string host = request.get_header_value("Host");
  return request.get_header_value_count("Host") == 1 &&
         (host == fmt::format("127.0.0.1:{}", port) || host == fmt::format("localhost:{}", port));
}

std::string renewing(const ServedBody& body) {
  return fmt::format(
      "<p id=\"lost\" class=\"notice\" hidden>ffzero watch has ended; these are the last values.</p>\n"
      "<noscript><p class=\"notice\">Without JavaScript: load the page again for newer values.</p></noscript>\n"
      "<div id=\"live\" data-version=\"{}\">\n{}</div>\n<script src=\"/watch.js\"></script>\n",
      body.version, body.html);
}

void add_answers(httplib::Server& server, const ServedPage& page, const int& port) {
  server.set_pre_routing_handler([&port](const httplib::Request& request, httplib::Response& answer) {
    if (names_this_server(request, port)) return httplib::Server::HandlerResponse::Unhandled;
    answer.status = 403;
    answer.set_content("ffzero watch answers to 127.0.0.1 and localhost only.\n", "text/plain");
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Get(
      "/", [&page](const httplib::Request&, httplib::Response& answer) { answer.set_content(page.around(renewing(page.body())), kHtml); });
  server.Get("/live", [&page](const httplib::Request& request, httplib::Response& answer) {
    const ServedBody body = page.body();
    answer.set_header("X-Version", body.version);
    if (request.has_param(body.version))
      answer.status = 304;
    else
      answer.set_content(body.html, kHtml);
  });
  server.Get("/watch.js",
             [&page](const httplib::Request&, httplib::Response& answer) { answer.set_content(page.script + kScript, "text/javascript"); });
  server.Get("/report.html", [&page](const httplib::Request&, httplib::Response& answer) {
    constexpr std::uint64_t kLongest = std::uint64_t{1} << 28;
    FileContent content = read_regular_file(page.report, kLongest);
    if (content.ok())
      answer.set_content(std::move(content.bytes), kHtml);
    else
      answer.status = 404;
  });
}

}  // namespace

void serve(const ServedPage& page, int port) {
  httplib::Server server;
  // Not the library's own choice, which lets two servers share a port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.new_task_queue = [] { return new httplib::ThreadPool(4); };
  server.set_payload_max_length(1024);
  server.set_keep_alive_timeout(1);  // seconds: so long a browser that asks for nothing delays the end
  server.set_default_headers(kHeaders);
  const int asked = port;
  add_answers(server, page, port);
  if (asked == 0)
    port = server.bind_to_any_port("127.0.0.1");
  else if (!server.bind_to_port("127.0.0.1", asked))
    port = -1;
  if (port < 0)
    throw UsageError("watch: --port", "must be a free port of 127.0.0.1", std::to_string(asked),
                     "give another one, or 0 for any that is free");
  catch_interrupts();
  std::atomic<bool> ended = false;
  std::thread serving([&] {
    server.listen_after_bind();
    ended = true;
  });
  fmt::print("http://127.0.0.1:{}/\n", port);
  std::fflush(stdout);
  while (!interrupted() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  // A server that has not begun yet cannot be stopped.
  while (!server.is_running() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.stop();
  serving.join();
}

}  // namespace ffzero::app
