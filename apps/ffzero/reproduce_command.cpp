// ffzero reproduce
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/dataset/load.hpp"
#include "ffzero/report/imperfect_study.hpp"
#include "ffzero/report/reproduce.hpp"
#include "output.hpp"
#include "study_display.hpp"

namespace ffzero::app {

namespace {

struct ReproduceArguments {
  std::string what = "paper", out, data_dir;
  int jobs = 0;
  bool quick = false, quiet = false;
};

// The folder if all four files are in it, else nothing.
std::filesystem::path with_mnist(const std::filesystem::path& folder) {
  try {
    for (const auto file : kIdxNames) (void)find_idx_file(folder, "mnist", file);
    return folder;
  } catch (const DataError&) {
    return {};
  }
}

int run_reproduce(const ReproduceArguments& arguments) {
  const std::filesystem::path folder = arguments.data_dir.empty() ? cache_dir() : std::filesystem::path(arguments.data_dir);
  ReproduceOptions options{.quick = arguments.quick, .mnist = with_mnist(folder), .command = {}};
  if (options.mnist.empty())
    note(
        "MNIST was not found in {}; the built-in glyphs stand in for it. To get it: ffzero datasets fetch mnist, or name its folder "
        "with --data-dir\n",
        folder.string());
  const bool imperfect = arguments.what == "imperfect";
  const Study study = imperfect ? imperfect_study(options) : reproduction_study(options);
  SweepRequest request;
  request.out = arguments.out.empty() ? std::filesystem::path("runs/reproduce") : std::filesystem::path(arguments.out);
  if (arguments.out.empty() && imperfect) request.out += "-imperfect";
  if (arguments.out.empty() && arguments.quick) request.out += "-quick";
  request.cache_dir = cache_dir();
  request.jobs = arguments.jobs;
  options.command =
      fmt::format("ffzero reproduce{}{}{} --out {}", imperfect ? " imperfect" : "", arguments.quick ? " --quick" : "",
                  arguments.data_dir.empty() ? "" : " --data-dir " + shell_word(arguments.data_dir), shell_word(request.out.string()));
  const StudyRunResult result = run_with_display(study, request, arguments.quiet, options.command);
  if (result.code == kInterrupted) return result.code;
  const auto notices = imperfect ? write_imperfect_study(options, request.out) : write_reproduction(options, request.out);
  for (const auto& notice : notices) note("{}\n", notice);
  note("report: {}\n", (request.out / "report.html").string());
  fmt::print("{}\n", (request.out / "report.md").string());
  return result.code;
}

}  // namespace

void add_reproduce(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<ReproduceArguments>();
  CLI::App* reproduce = app.add_subcommand("reproduce",
                                           "Run the paper's comparison: four cells, three kinds of model, beside the published program's "
                                           "numbers; or what training brings back on "
                                           "chips that are not their model");
  reproduce->add_option("what", arguments->what, "paper (default): the paper's comparison | imperfect: chips that are not their model")
      ->check(CLI::IsMember({"paper", "imperfect"}));
  reproduce->add_flag("--quick", arguments->quick,
                      "few epochs, one seed (imperfect: a small mesh, three chips): under ten minutes on two cores");
  reproduce->add_option("--data-dir", arguments->data_dir, "folder with MNIST (default: the cache folder); without it the glyphs stand in");
  reproduce->add_option("--out", arguments->out, "folder to write, or to go on with (default: runs/reproduce, runs/reproduce-imperfect)");
  reproduce->add_option("--jobs", arguments->jobs, "runs at once, one core each; 0: one a core")->check(CLI::Range(0, 1024));
  reproduce->add_flag("--quiet", arguments->quiet, "no progress on standard error");
  add_examples(*reproduce, {{"ffzero reproduce --quick", "minutes instead of hours"},
                            {"ffzero reproduce imperfect --quick", "chips that are not their model"}});
  reproduce->callback([arguments, &commands] { commands.chosen = [arguments] { return run_reproduce(*arguments); }; });
}

}  // namespace ffzero::app
