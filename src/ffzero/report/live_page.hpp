// The page of a run that may be under way.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/run_data.hpp"

namespace ffzero {

/// Reads a run folder again and again and never writes into it: neither its lock nor a figure, which are drawn in a folder of their own.
/// Safe to call from several threads.
class LivePage {
 public:
  /// @throws DataError if the folder holds no run, OutputError if there is no place for the figures
  explicit LivePage(std::filesystem::path run, GnuplotOptions gnuplot = {});
  /// Removes the figures.
  ~LivePage();
  LivePage(const LivePage&) = delete;
  LivePage& operator=(const LivePage&) = delete;

  struct Body {
    std::string html;     ///< of the page's body; what others said is escaped
    std::string version;  ///< changes with the body: letters and digits
  };
  /// What the files of the run say now: where the training stands, devices, curves, the last epochs; the whole report once it has finished.
  /// Files are read anew when one of them has changed. Figures are drawn at most a tenth of the time, as long as the run goes on. A file
  /// that cannot be read is a notice in the page.
  [[nodiscard]] Body now();

 private:
  [[nodiscard]] std::string body_of(const RunData& run);
  /// Curves, or those of a little while ago.
  [[nodiscard]] const std::string& curves_of(const RunData& run);

  std::mutex mutex_;
  std::filesystem::path run_, figures_;
  GnuplotOptions gnuplot_;
  std::string stamp_, curves_;
  std::size_t drawn_epochs_ = 0;  ///< in curves_
  bool stale_ = false;            ///< more epochs have ended since
  std::chrono::steady_clock::time_point draw_again_;
  Body body_;
  int versions_ = 0;
};

}  // namespace ffzero
