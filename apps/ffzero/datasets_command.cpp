// ffzero datasets
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/dataset/fetch.hpp"
#include "ffzero/dataset/idx_writer.hpp"
#include "ffzero/dataset/load.hpp"
#include "ffzero/dataset/remote_datasets.hpp"
#include "ffzero/dataset/verify.hpp"
#include "output.hpp"

#include <nlohmann/json.hpp>

namespace ffzero::app {

namespace {

namespace fs = std::filesystem;

struct DatasetsOptions {
  std::string name, data_dir, dir;
  std::uint64_t seed = 0;
  bool json = false, quiet = false;
};

fs::path data_dir(const DatasetsOptions& o) { return o.data_dir.empty() ? cache_dir() : fs::path(o.data_dir); }

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string presence(const DatasetEntry& e) {
  if (e.built_in) return "built in";
  if (e.files == 0) return "yours";
  if (e.files_present == e.files) return "present";
  return e.files_present == 0 ? "to fetch" : fmt::format("{} of {} files", e.files_present, e.files);
}

int list(const DatasetsOptions& o) {
  const auto entries = list_datasets(data_dir(o));
  if (!o.json) {
    for (const auto& e : entries) fmt::print("{:<14} {:<13} {}\n", e.name, presence(e), e.contents);
    fmt::print("\ndata sets lie in {}\n", data_dir(o).string());
    return kDone;
  }
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const auto& e : entries)
    all.push_back({{"name", e.name},
                   {"contents", e.contents},
                   {"built_in", e.built_in},
                   {"files", e.files},
                   {"files_present", e.files_present},
                   {"bytes", e.bytes}});
  fmt::print("{}\n", all.dump(2));
  return kDone;
}

// One rewritten line on a terminal, one line a file elsewhere; none that stays while nothing has come, so that the one line of an error
// without a network stands alone.
class FetchDisplay {
 public:
  explicit FetchDisplay(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
  ~FetchDisplay() { close_line(); }
  FetchDisplay(const FetchDisplay&) = delete;
  FetchDisplay& operator=(const FetchDisplay&) = delete;

  void show(const FetchProgress& p) {
    if (quiet_ || (!terminal_ && p.received == 0)) return;
    const bool next = p.number != number_;
    number_ = p.number;
    if (!terminal_) {
      if (next) note("{}/{} {} from {}\n", p.number, p.files, p.file, p.mirror);
      return;
    }
    if (next) close_line();
    received_ = p.received > 0;
    const std::string share = p.total == 0 ? mebibytes(p.received)
                                           : fmt::format("{} of {}  {:.0f} %", mebibytes(p.received), mebibytes(p.total),
                                                         100.0 * static_cast<double>(p.received) / static_cast<double>(p.total));
    note("\r\x1b[K{}/{} {}  {}  {}", p.number, p.files, p.file, share, p.mirror);
    line_open_ = true;
  }

 private:
  void close_line() {
    if (line_open_) note("{}", received_ ? "\n" : "\r\x1b[K");
    line_open_ = false;
  }

  bool quiet_, terminal_, line_open_ = false, received_ = false;
  int number_ = 0;
};

int fetch(const DatasetsOptions& o) {
  const RemoteDataset& dataset = remote_dataset(o.name);
  catch_interrupts();
  FetchSummary summary;
  {
    FetchDisplay display(o.quiet);
    FetchOptions options;
    options.progress = [&](const FetchProgress& p) {
      display.show(p);
      return !interrupted();
    };
    summary = fetch_dataset(dataset, data_dir(o), options);
  }
  if (summary.interrupted) {
    note("interrupted; what has come is kept, the same command goes on from there\n");
    return kInterrupted;
  }
  if (!o.quiet)
    note("{}: {} files fetched, {} were here; all verified, in {}\n", dataset.name, summary.fetched, summary.kept, data_dir(o).string());
  return kDone;
}

int verify(const DatasetsOptions& o) {
  const auto reports = verify_dataset(o.name, data_dir(o));
  int wrong = 0;
  for (const auto& r : reports) {
    fmt::print("{:<28} {}{}{}\n", r.name, to_string(r.state), r.path.empty() ? "" : "  " + r.path.string(),
               r.detail.empty() ? "" : "  (" + r.detail + ")");
    wrong += r.state == FileState::ok ? 0 : 1;
  }
  std::fflush(stdout);
  if (wrong > 0)
    throw CheckError(o.name, fmt::format("all {} files must be whole and unaltered", reports.size()), fmt::format("{} that are not", wrong),
                     "run `ffzero datasets fetch " + o.name + "`");
  return kDone;
}

int export_files(const DatasetsOptions& o) {
  DatasetOptions wanted;
  wanted.name = o.name;
  wanted.dir = data_dir(o);
  wanted.seed = o.seed;
  const Splits splits = load_dataset(wanted);
  export_idx(splits, o.dir);
  note("{}: {} + {} images written to {}; use them with --dataset idx --data-dir {}\n", o.name, splits.train.size(), splits.test.size(),
       o.dir, o.dir);
  return kDone;
}

}  // namespace

void add_datasets(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<DatasetsOptions>();
  CLI::App* datasets = app.add_subcommand("datasets", "List, download, verify and export data sets");
  datasets->require_subcommand(1);
  add_examples(*datasets, {{"ffzero datasets list", "what there is"}});
  const auto add = [&](const char* name, const char* help, int (*action)(const DatasetsOptions&)) {
    CLI::App* command = datasets->add_subcommand(name, help);
    command->add_option("--data-dir", options->data_dir, "where data sets lie (default: $XDG_CACHE_HOME/ffzero or ~/.cache/ffzero)");
    command->callback([options, &commands, action] { commands.chosen = [options, action] { return action(*options); }; });
    return command;
  };
  CLI::App* list_command = add("list", "All names that --dataset takes, and whether their files are here", list);
  list_command->add_flag("--json", options->json, "print as JSON");
  add_examples(*list_command, {{"ffzero datasets list", "names, and where their files are looked for"}});
  CLI::App* fetch_command = add("fetch", "Download a data set: resumable, verified by SHA-256", fetch);
  fetch_command->add_option("name", options->name, "mnist | fashion-mnist")->required();
  fetch_command->add_flag("--quiet", options->quiet, "no progress on standard error");
  add_examples(*fetch_command, {{"ffzero datasets fetch mnist", "into the cache folder"}});
  CLI::App* verify_command = add("verify", "Unpack and hash the files of a data set (exit code 6 if one is wrong)", verify);
  verify_command->add_option("name", options->name, "mnist | fashion-mnist")->required();
  add_examples(*verify_command, {{"ffzero datasets verify mnist", "one line a file"}});
  CLI::App* export_command = add("export", "Write a data set of grey images as the four IDX files of MNIST", export_files);
  export_command->add_option("name", options->name, "glyphs, or another set of grey images")->required();
  export_command->add_option("--dir", options->dir, "folder to write to, created if need be")->required();
  export_command->add_option("--seed", options->seed, "of the glyphs")->default_val(0);
  add_examples(*export_command, {{"ffzero datasets export glyphs --dir glyphs", "the built-in images, for other programs"}});
}

}  // namespace ffzero::app
