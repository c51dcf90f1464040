// Progress display.
// SPDX-License-Identifier: MIT
#include "progress.hpp"
#include "output.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace ffzero::app {

namespace {
using Clock = std::chrono::steady_clock;
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

std::string short_count(std::int64_t n) {
  const auto d = static_cast<double>(n);
  if (n >= 1'000'000'000) return fmt::format("{:.2f} G", d / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.2f} M", d / 1e6);
  if (n >= 10'000) return fmt::format("{:.1f} k", d / 1e3);
  return fmt::format("{}", n);
}

std::string short_time(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

ProgressDisplay::ProgressDisplay(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()) {}

void ProgressDisplay::step(const Progress& p) {
  if (quiet_ || !terminal_) return;
  const auto now = Clock::now();
  if (std::chrono::duration<double>(now - last_).count() < 0.1) return;
  last_ = now;
  if (first_fraction_ < 0.0) {
    first_fraction_ = p.fraction;
    start_ = now;
  }
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double done = p.fraction - first_fraction_;
  const std::string left = done > 1e-3 ? short_time(elapsed * (1.0 - p.fraction) / done) + " left" : "";
  const std::string line =
      fmt::format("{} ({}/{})  epoch {}/{}  loss {:.4f}  {:.0f} %  {}  {} evaluations  step {}/{}", p.layer, p.block + 1, p.blocks,
                  p.epoch + 1, p.epochs, p.loss, 100.0 * p.fraction, left, short_count(p.forward_evals), p.step + 1, p.steps);
  // A line that wraps could not be rewritten.
  note("\r\x1b[K{}", line.substr(0, terminal_width() - 1));
  line_open_ = true;
}

void ProgressDisplay::clear_line() {
  if (!line_open_) return;
  note("\r\x1b[K");
  line_open_ = false;
}

void ProgressDisplay::epoch(const EpochRecord& r, const std::string& metric) {
  if (quiet_) return;
  clear_line();
  const auto shown = [](const std::optional<Measure>& m) { return m ? fmt::format("{:.4f}", m->value) : std::string("-"); };
  note("{:<8} epoch {:>3}  loss {:<10.5g} train {} {}  test {}{}  evaluations {:<9} {:.1f} s\n", r.layer, r.epoch, r.training_loss, metric,
       shown(r.train), shown(r.test), r.validation ? "  validation " + shown(r.validation) : "", short_count(r.forward_evals), r.wall_s);
}

void ProgressDisplay::message(const std::string& line) {
  if (quiet_) return;
  clear_line();
  note("{}\n", line);
}

void ProgressDisplay::finish() { clear_line(); }

}  // namespace ffzero::app
