// Serves a page that changes over HTTP, where the program was built with cpp-httplib.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace ffzero::app {

/// The body of a page, and a word of letters and digits that changes with it.
struct ServedBody {
  std::string html, version;
};

/// What is served. Called from several threads.
struct ServedPage {
  std::function<ServedBody()> body;                            ///< as it is now
  std::function<std::string(const std::string& body)> around;  ///< the whole page around a body
  std::string script;                                          ///< that draws curves into a new body: showCurves()
  std::filesystem::path report;                                ///< a file, as /report.html; need not be there
};

/// Prints the address and serves until Ctrl-C. Only programs of this machine reach it (127.0.0.1), and pages of other hosts whose names
/// were made to point here are refused by the Host that their requests name. Nothing but the page, its script and the report is served.
/// @throws UsageError if the port is taken
void serve(const ServedPage& page, int port);

}  // namespace ffzero::app
