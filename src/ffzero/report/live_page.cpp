// Pages of runs under way.
// SPDX-License-Identifier: MIT
#include "ffzero/report/live_page.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/base/folder_lock.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/report.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/evaluate.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

// Sizes and times of the files that the page shows: what has changed if anything has.
std::string stamp_of(const fs::path& run) {
  std::string stamp;
  for (const char* name : {"checkpoint.npz", "metrics.jsonl", "summary.json", "log.txt", "evaluation.npz", FolderLock::kFile}) {
    struct stat status {};
    if (::stat((run / name).c_str(), &status) != 0) status = {};
    stamp += fmt::format("{}.{}.{} ", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }
  return stamp;
}

std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }

// When a file was written, in the time of this place.
std::string time_of(const fs::path& file) {
  struct stat status {};
  std::tm time{};
  std::array<char, 32> text{};
  if (::stat(file.c_str(), &status) != 0 || ::localtime_r(&status.st_mtim.tv_sec, &time) == nullptr) return "?";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &time)};
}

// The share of the training that is behind, by epochs of all blocks.
double share_done(const json& position) {
  const auto count = [&](const char* name) { return position.value(name, 0.0); };
  if (count("blocks") <= 0.0) return 0.0;
  double block = 0.0;
  if (count("epochs") > 0.0)
    block = (count("epochs_done") + (count("steps") > 0.0 ? count("steps_done") / count("steps") : 0.0)) / count("epochs");
  return (count("blocks_done") + block) / count("blocks");
}

std::string position_html(const json& said, const fs::path& run) {
  const json& position = said.at("position");
  std::error_code none;
  std::string words = fs::exists(run / FolderLock::kFile, none) ? "Under way" : "Not finished, and no process works on it";
  if (position.contains("layer"))
    words += fmt::format(": layer {} ({} of {}), {} of {} epochs done, {} of {} steps of the next", position["layer"].get<std::string>(),
                         position.at("blocks_done").get<int>() + 1, position.at("blocks").dump(), position["epochs_done"].dump(),
                         position["epochs"].dump(), position["steps_done"].dump(), position["steps"].dump());
  else
    words += ": trained, the result is being written";
  const json& evals = said.at("forward_evals");
  return fmt::format(
      "<p class=\"lead\">{}, as of {}.</p>\n<progress aria-label=\"training done\" value=\"{:.4f}\" max=\"1\" "
      "style=\"width:100%\"></progress>\n"
      "<p class=\"quiet\">Forward evaluations: training {}, logging {}; pullbacks {}. Training time: {:.1f} s.</p>\n",
      html_escaped(words), time_of(run / "checkpoint.npz"), share_done(position), evals.at("training").dump(), evals.at("logging").dump(),
      evals.at("pullbacks").dump(), said.at("elapsed_s").get<double>());
}

std::string epochs_html(const RunData& run) {
  constexpr std::size_t kMost = 20;
  Table table{{"layer", "epoch", "evaluations", "loss", "train", "test", "seconds"}, {}};
  for (std::size_t i = run.epochs.size(); i > 0 && table.rows.size() < kMost; --i) {
    const EpochPoint& p = run.epochs[i - 1];
    table.rows.push_back({p.layer, fmt::format("{:g}", p.epoch), fmt::format("{:.0f}", p.forward_evals), number(p.training_loss),
                          number(p.train), number(p.test), fmt::format("{:.1f}", p.wall_s)});
  }
  return table.rows.empty() ? "<p>No epoch has ended yet.</p>\n" : "<h2>Last epochs</h2>\n" + table.html();
}

std::string log_html(const fs::path& run) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 26;
  constexpr std::size_t kMost = 12;
  const FileContent content = read_regular_file(run / "log.txt", kLongest);
  if (!content.ok()) return {};
  std::deque<std::string> lines;
  std::istringstream text(content.bytes);
  for (std::string line; std::getline(text, line);) {
    lines.push_back(line);
    if (lines.size() > kMost) lines.pop_front();
  }
  std::string last;
  for (const auto& line : lines) last += html_escaped(line) + "\n";
  return last.empty() ? last : "<h2>Last lines of the log</h2>\n<pre>" + last + "</pre>\n";
}

}  // namespace

LivePage::LivePage(fs::path run, GnuplotOptions gnuplot) : run_(std::move(run)), gnuplot_(std::move(gnuplot)) {
  static_cast<void>(read_run(run_));
  gnuplot_.only_svg = true;
  std::string place = (fs::temp_directory_path() / "ffzero-watch-XXXXXX").string();
  if (::mkdtemp(place.data()) == nullptr)
    throw OutputError(place, "the folder of the figures must be creatable", std::strerror(errno), "set TMPDIR");
  figures_ = place;
}

LivePage::~LivePage() {
  std::error_code none;
  fs::remove_all(figures_, none);
}

LivePage::Body LivePage::now() {
  const std::lock_guard lock(mutex_);
  // The stamp first: what changes while the files are read is read again the next time.
  std::string stamp = stamp_of(run_);
  if (stamp == stamp_ && !(stale_ && Clock::now() >= draw_again_)) return body_;
  std::string html;
  try {
    html = body_of(read_run(run_));
  } catch (const std::exception& e) {
    html = fmt::format("<h1>{}</h1>\n", html_escaped(run_.filename().string())) +
           notices_html({std::string("This cannot be shown now: ") + e.what()});
  }
  stamp_ = std::move(stamp);
  if (html != body_.html) body_ = {std::move(html), fmt::format("v{}", ++versions_)};
  return body_;
}

std::string LivePage::body_of(const RunData& run) {
  if (run.summary.is_object()) {
    stale_ = false;
    ReportResult result;
    return report_body(run, figures_, gnuplot_, result);
  }
  std::string body = fmt::format("<h1>{}</h1>\n", html_escaped(run.name));
  try {
    const json said = inspect_run(run_);
    body += position_html(said, run_) + devices_html(said);
  } catch (const Error& e) {
    body += notices_html({std::string("Where the training stands is not known: ") + e.what()});
  }
  return body + curves_of(run) + epochs_html(run) + log_html(run_) + "<details><summary>config.toml</summary><pre>" +
         html_escaped(run.config) + "</pre></details>\n";
}

const std::string& LivePage::curves_of(const RunData& run) {
  const auto begun = Clock::now();
  stale_ = run.epochs.size() != drawn_epochs_ && begun < draw_again_;
  if (stale_ || run.epochs.size() == drawn_epochs_) return curves_;
  const FigureGroup group = learning_figures(run);
  const Drawing drawing = draw(group.figures, figures_, gnuplot_);
  curves_ = notices_html(drawing_notices(drawing)) + figures_html(group, figures_, "l");
  const auto ended = Clock::now();
  drawn_epochs_ = run.epochs.size();
  draw_again_ = ended + 9 * (ended - begun);
  return curves_;
}

}  // namespace ffzero
