// Studies: grids, keys that do not apply, and going on after a stop.
// SPDX-License-Identifier: MIT
#include "ffzero/run/sweep.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/imperfect_study.hpp"
#include "ffzero/report/reproduce.hpp"
#include "ffzero/report/study_page.hpp"
#include "ffzero/report/study_report.hpp"
#include "support/project_folder.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using testing::AllOf;
using testing::HasSubstr;

const std::string kStudy = R"(
name = "small"
seeds = [0, 1, 2]
cells = ["ff_dd", "ff_ad"]
base = { dataset.name = "function1", model.layers = [6, 6], training.epochs = 2, training.batch_size = 500, training.log_samples = 100 }
[grid]
gradient.eps = [1e-3]
update.lr = [1e-2, 1e-3]
)";

Study small_study() { return parse_study(kStudy, "small.toml", "."); }

TEST(Study, IsTheProductOfItsAxesAndSeeds) {
  const Study study = small_study();
  EXPECT_EQ(study.runs.size(), 2U * 2U * 3U);
  std::set<std::string> names, tomls;
  for (const auto& run : study.runs) {
    names.insert(run.name);
    tomls.insert(run.toml);
  }
  EXPECT_EQ(names.size(), study.runs.size());
  EXPECT_EQ(tomls.size(), study.runs.size());
}

TEST(Study, DropsKeysWhereTheyDoNotApplyAndSaysSo) {
  const Study study = small_study();
  ASSERT_EQ(study.notes().size(), 1U);
  EXPECT_THAT(study.notes()[0], HasSubstr("gradient.eps is dropped in ff_ad, lr 0.01; ff_ad, lr 0.001: "));
  for (const auto& run : study.runs) {
    const bool exact = run.axes[0].second == "ff_ad";
    EXPECT_EQ(run.toml.find("gradient.eps") == std::string::npos, exact);
  }
}

TEST(Study, SaysWhyAKeyIsDroppedInWordsOfToday) {
  const Study study = parse_study("cells = [\"bp_dd\"]\nbase = { budget.forward_evals = 1000, budget.split = \"even\" }\n", "s.toml", ".");
  EXPECT_THAT(study.notes(),
              testing::ElementsAre(HasSubstr("budget.split is dropped in bp_dd: it belongs to objective.scope = \"local\" or \"blocks\"")));
}

TEST(Study, RunsSettingsThatDifferInADroppedKeyOnce) {
  const Study study = parse_study("cells = [\"ff_dd\", \"ff_ad\"]\n[grid]\ngradient.directions = [1, 2, 4]\n", "s.toml", ".");
  EXPECT_EQ(study.runs.size(), 4U);
}

TEST(Study, KeepsKeysThatADistributionGivesAMeaning) {
  const Study study = parse_study(
      "base = { model.kind = \"photonic\", gradient.estimator = \"coordinate\", gradient.distribution = \"one_sided\", gradient.directions "
      "= 39 }",
      "one.toml", ".");
  EXPECT_TRUE(study.dropped.empty());
  ASSERT_EQ(study.runs.size(), 1U);
  EXPECT_THAT(study.runs[0].toml, HasSubstr("gradient.directions = 39\n"));
  EXPECT_THAT(study.runs[0].toml, HasSubstr("gradient.distribution = \"one_sided\"\n"));
}

TEST(Study, TakesBaseSettingsFromAFileWithLayerTables) {
  const test::TemporaryFolder folder;
  folder.write("base.toml", "seed = 5\nmodel.layers = [20, 10]\n[[layer]]\nindex = 1\nupdate.lr = 0.5\n");
  folder.write("study.toml", "base = \"base.toml\"\n[grid]\ntraining.epochs = [1, 2]\n");
  const Study study = read_study(folder.path() / "study.toml");
  ASSERT_EQ(study.runs.size(), 2U);
  EXPECT_EQ(study.runs[0].seed, 5);
  EXPECT_THAT(study.runs[0].toml, HasSubstr("[[layer]]"));
}

TEST(Study, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW((void)parse_study("bases = 1\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("[grid]\nupdate.learning_rate = [1]\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("[grid]\nupdate.lr = 1\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("[grid]\nupdate.lr = [\"fast\"]\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("[grid]\nseed = [1]\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("cells = [\"xx\"]\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("cells = []\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)parse_study("seeds = [0.5]\n", "s.toml", "."), ConfigError);
  EXPECT_THROW((void)read_study("no-such-study.toml"), ConfigError);
}

// A study that was stopped in the middle of runs, lost a run before its first checkpoint and was gone on with gives the same table.
TEST(Sweep, StoppedAndGoneOnWithGivesTheSameTable) {
  const test::TemporaryFolder whole, parts;
  const Study study = small_study();
  const SweepResult once = run_study(study, {.out = whole.path() / "s", .cache_dir = {}, .jobs = 2});
  EXPECT_FALSE(once.interrupted);
  for (const auto& state : once.states) EXPECT_EQ(state.status, RunStatus::finished) << state.line;

  // One run at a time: stopped a few steps into the second run, whatever the machine does.
  const SweepRequest request{.out = parts.path() / "s", .cache_dir = {}, .jobs = 1};
  std::atomic<int> finished{0}, asked{0};
  const auto count_finished = [&](std::size_t, const RunState& s) { finished += s.status == RunStatus::finished ? 1 : 0; };
  const SweepResult stopped =
      run_study(study, request, {.changed = count_finished, .stop_requested = [&] { return finished > 0 && ++asked > 5; }});
  EXPECT_TRUE(stopped.interrupted);
  const auto count = [](const SweepResult& r, RunStatus status) {
    return std::count_if(r.states.begin(), r.states.end(), [&](const RunState& s) { return s.status == status; });
  };
  EXPECT_GT(count(stopped, RunStatus::finished), 0);
  EXPECT_GT(count(stopped, RunStatus::interrupted), 0);
  EXPECT_GT(count(stopped, RunStatus::waiting), 0);
  fs::create_directories(request.out / "runs" / study.runs.back().name);

  std::set<std::size_t> trained;
  const SweepResult rest = run_study(study, request,
                                     {.changed =
                                          [&](std::size_t run, const RunState& s) {
                                            if (s.status == RunStatus::running) trained.insert(run);
                                          },
                                      .stop_requested = {}});
  EXPECT_FALSE(rest.interrupted);
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    EXPECT_EQ(rest.states[i].status, RunStatus::finished) << rest.states[i].line;
    EXPECT_EQ(trained.contains(i), stopped.states[i].status != RunStatus::finished) << study.runs[i].name;
  }
  std::ofstream(whole.path() / "s/runs" / study.runs[1].name / "report.html") << "written by ffzero report";
  for (const fs::path& out : {whole.path() / "s", parts.path() / "s"}) (void)write_study_report(study, out, {.program = "no-such-gnuplot"});
  for (const char* file : {"table.md", "table.csv", "table.json"}) {
    const std::string expected = read_file(whole.path() / "s" / file);
    EXPECT_GT(expected.size(), 100U);
    EXPECT_EQ(read_file(parts.path() / "s" / file), expected) << file;
  }
  const std::string page = read_file(whole.path() / "s/report.html");
  EXPECT_LT(page.size(), 1'500'000U);
  EXPECT_THAT(page, AllOf(HasSubstr("class=\"curves\""), HasSubstr("showCurves()")));
  const auto first = nlohmann::json::parse(read_file(whole.path() / "s/table.json")).at("runs")[0];
  EXPECT_THAT(page, HasSubstr(fmt::format("<td>{:.4f}</td><td>{:.4f}</td><td>{:.0f}</td></tr>", first.at("test").get<double>(),
                                          first.at("train").get<double>(), first.at("training_evaluations").get<double>())));
  EXPECT_THAT(page, HasSubstr("<a href=\"runs/" + study.runs[1].name + "/report.html\">"));
  for (std::size_t at = page.find("href=\"runs/"); at != std::string::npos; at = page.find("href=\"runs/", at + 1)) {
    const std::string file = page.substr(at + 6, page.find('"', at + 6) - at - 6);
    EXPECT_TRUE(fs::exists(whole.path() / "s" / file)) << file;
  }
  EXPECT_EQ(collect(study, whole.path() / "s").front().curve, collect(study, parts.path() / "s").front().curve);
}

SettingResult cell_result(const std::string& solver, double low, double median, double high, double evaluations) {
  SettingResult r;
  r.axes = {{"solver", solver}};
  r.metric = "accuracy";
  r.test = {.low = low, .median = median, .high = high, .count = 3};
  r.forward_evals = evaluations;
  return r;
}

TEST(Findings, SayWhatTheNumbersSay) {
  std::vector<SettingResult> results{cell_result("ff_dd", 0.89, 0.9, 0.91, 4e6), cell_result("bp_dd", 0.3, 0.4, 0.5, 4e6),
                                     cell_result("ff_ad", 0.94, 0.95, 0.96, 1e5), cell_result("bp_ad", 0.955, 0.96, 0.97, 1e5)};
  const auto words = cell_findings(results);
  ASSERT_EQ(words.size(), 4U);
  EXPECT_EQ(words[0], "Without derivatives, layer by layer (ff_dd): test accuracy 0.900 after 4 million forward evaluations.");
  EXPECT_EQ(words[1], "Without derivatives, local losses beat one loss for the whole network (ff_dd 0.900, bp_dd 0.400: +0.500).");
  EXPECT_EQ(
      words[2],
      "With exact gradients, local losses do as well as backpropagation (ff_ad 0.950, bp_ad 0.960: -0.010, within the spread over seeds).");
  EXPECT_THAT(words[3], HasSubstr("costs 0.050 with local losses and 0.560 end to end: cutting the network into layers makes it cheaper"));
  std::swap(results[0].test, results[1].test);
  EXPECT_THAT(cell_findings(results)[1], HasSubstr("local losses lose to one loss for the whole network"));
  results[0].forward_evals = 1e6;
  EXPECT_THAT(cell_findings(results).back(), HasSubstr("ff_dd spent 1000 thousand forward evaluations, bp_dd 4 million forward"));
  for (auto& r : results) r.test = {.low = 0.5, .median = 0.5, .high = 0.5, .count = 1};
  EXPECT_THAT(cell_findings(results)[1],
              HasSubstr("do as well as one loss for the whole network (ff_dd 0.500, bp_dd 0.500: +0.000, one seed)"));
  results.pop_back();
  EXPECT_TRUE(cell_findings(results).empty());
}

TEST(Sweep, KeepsDivergedRunsAndCountsThem) {
  const test::TemporaryFolder folder;
  const Study study = parse_study(
      "base = { dataset.name = \"function1\", model.layers = [6, 1], training.epochs = 3, update.lr = 1e9, update.rule = \"sgd\" }\ncells "
      "= [\"bp_ad\"]\n",
      "s.toml", ".");
  const SweepRequest request{.out = folder.path() / "s", .cache_dir = {}, .jobs = 1};
  const SweepResult first = run_study(study, request);
  ASSERT_EQ(first.states[0].status, RunStatus::diverged) << first.states[0].line;
  const SweepResult second = run_study(study, request);
  EXPECT_TRUE(second.states[0].earlier);
  EXPECT_EQ(collect(study, request.out)[0].diverged, 1);
  EXPECT_THAT(study_table(collect(study, request.out)).markdown(), HasSubstr("1 diverged"));
}

TEST(Sweep, RefusesTheFolderOfAnotherStudy) {
  const test::TemporaryFolder folder;
  const Study one = parse_study("base = { dataset.name = \"function1\", training.epochs = 0 }\n", "s.toml", ".");
  const Study other = parse_study("base = { dataset.name = \"function2\", training.epochs = 0 }\n", "s.toml", ".");
  (void)run_study(one, {.out = folder.path() / "s", .cache_dir = {}, .jobs = 1});
  EXPECT_THROW((void)run_study(other, {.out = folder.path() / "s", .cache_dir = {}, .jobs = 1}), UsageError);
}

TEST(SettingTitle, SaysKeysOnlyWhereValuesDoNotSpeak) {
  EXPECT_EQ(setting_title({{"solver", "ff_dd"}, {"update.lr", "0.01"}, {"gradient.eps", "-"}}), "ff_dd, lr 0.01");
  EXPECT_EQ(setting_title({}), "all");
}

TEST(Reproduction, PlansEveryPanelInEveryCellWithBothSettings) {
  for (const bool quick : {true, false}) {
    const ReproduceOptions options{.quick = quick, .mnist = {}};
    const Study study = reproduction_study(options);
    EXPECT_EQ(study.runs.size(), reproduction_panels(options).size() * 4 * 2 * (quick ? 1 : 3));
  }
}

TEST(Reproduction, IsWrittenFromRunsThatAreThere) {
  const test::TemporaryFolder folder;
  const ReproduceOptions options{.quick = true, .mnist = "somewhere"};
  (void)write_reproduction(options, folder.path(), {.program = "no-such-gnuplot"});
  const std::string report = read_file(folder.path() / "report.md");
  EXPECT_THAT(report, HasSubstr("the reference program"));
  EXPECT_THAT(report, HasSubstr("## Two meshes of 25 ports"));
  EXPECT_THAT(report, HasSubstr("missing"));
}

TEST(Reproduction, HasAPageWithTablesWordsRunsAndCommands) {
  const test::TemporaryFolder folder;
  const ReproduceOptions options{.quick = true, .mnist = "somewhere", .command = "ffzero reproduce --quick --out 'a <b>'"};
  const Study study = reproduction_study(options);
  const fs::path runs = folder.path() / "runs";
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    fs::create_directories(runs / study.runs[i].name);
    std::ofstream(runs / study.runs[i].name / (i == 0 ? "report.html" : "summary.json")) << "{}";
  }
  (void)write_reproduction(options, folder.path(), {.program = "no-such-gnuplot"});
  const std::string page = read_file(folder.path() / "report.html");
  EXPECT_LT(page.size(), 1'500'000U);
  EXPECT_THAT(page, AllOf(HasSubstr("<h1>The paper's comparison</h1>"), HasSubstr("<h2>Two meshes of 25 ports, digits 0 to 4</h2>"),
                          HasSubstr("<strong>Quick</strong>"), HasSubstr("<code>ffzero reproduce --quick</code>"),
                          HasSubstr("<td>the reference program</td>")));
  EXPECT_THAT(page, AllOf(HasSubstr("<a href=\"runs/" + study.runs[0].name + "/report.html\">"),
                          HasSubstr("<a href=\"runs/" + study.runs[1].name + "/summary.json\">"),
                          Not(HasSubstr("href=\"runs/" + study.runs[2].name))));
  EXPECT_THAT(page, AllOf(HasSubstr("<pre>ffzero reproduce --quick --out 'a &lt;b&gt;'\n"),
                          HasSubstr("ffzero train " + (runs / study.runs[0].name).string() + "/config.toml --out ")));
}

TEST(StudyPage, TurnsWordsIntoHtmlAndEscapesTheRest) {
  EXPECT_EQ(words_html(""), "");
  EXPECT_EQ(words_html("One **strong** word,\nand `a < b`.\n\nMore.\n* one\n* two & three\n\nEnd"),
            "<p>One <strong>strong</strong> word, and <code>a &lt; b</code>.</p>\n<p>More.</p>\n<ul>\n<li>one</li>\n<li>two &amp; "
            "three</li>\n</ul>\n<p>End</p>\n");
  EXPECT_THAT(words_html("<script>"), Not(HasSubstr("<script>")));
}

// A run of `study` as it stands when it is done: two epochs.
void pretend(const fs::path& out, const PlannedRun& run, double test, double readout, double readings) {
  const fs::path folder = out / "runs" / run.name;
  fs::create_directories(folder);
  std::ofstream metrics(folder / "metrics.jsonl");
  for (const int epoch : {1, 2})
    metrics << nlohmann::json({{"layer", "mesh 1"},
                               {"layer_index", 0},
                               {"epoch", epoch},
                               {"forward_evals", readings * epoch / 2.0},
                               {"wall_s", 1.0},
                               {"test", epoch == 2 ? test : 0.1}})
                   .dump()
            << "\n";
  std::ofstream(folder / "summary.json") << nlohmann::json({{"information", "opaque"},
                                                            {"final", {{"metric", "accuracy"}, {"test", readout}, {"train", readout}}},
                                                            {"forward_evals", {{"training", readings}}}});
}

TEST(ImperfectStudy, InFullIsWhatTheStudiesSay) {
  const auto lines = [](const std::vector<PlannedRun>& runs, const std::string& arm) {
    std::set<std::string> all;
    for (const PlannedRun& run : runs) {
      if (!arm.empty() && run.axes[0].second != arm) continue;
      std::istringstream in(run.toml);
      std::set<std::string> own;
      for (std::string line; std::getline(in, line);) own.insert(line);
      std::string text;
      for (const auto& line : own) text += line + "\n";
      EXPECT_TRUE(all.insert(text).second) << text;
    }
    return all;
  };
  const ReproduceOptions options{.quick = false, .mnist = "/data"};
  const Study study = imperfect_study(options);
  std::size_t runs = 0;
  for (const auto& [arm, file] : {std::pair{"ideal", "ideal"},
                                  {"direct", "direct"},
                                  {"directions", "forward_only"},
                                  {"single_phases", "single_phases"},
                                  {"transfer", "transfer"},
                                  {"pat_1", "pat_once"},
                                  {"pat_5", "pat"},
                                  {"along_1", "along_once"},
                                  {"along_5", "along"},
                                  {"twin", "twin"},
                                  {"everything", "everything"},
                                  {"hard", "hard"}}) {
    const auto own = lines(study.runs, arm);
    runs += own.size();
    EXPECT_EQ(
        own,
        lines(read_study(test::project_folder() / "studies/imperfect" / (std::string(file) + ".toml"), {{"dataset.dir", "/data"}}).runs,
              ""))
        << arm;
  }
  EXPECT_EQ(runs, study.runs.size());
  EXPECT_TRUE(study.dropped.empty());
}

TEST(ImperfectStudy, IsATableWithWorstChipRecoveryReadingsAndWrites) {
  const test::TemporaryFolder folder;
  const ReproduceOptions options{.quick = true, .mnist = {}, .command = "ffzero reproduce imperfect --quick"};
  const Study study = imperfect_study(options);
  EXPECT_EQ(study.runs.size(), 1U + 11U * 3U);
  for (const PlannedRun& run : study.runs) {
    const std::string &arm = run.axes[0].second, &chip = run.axes[1].second;
    const double off = chip == "none" ? 0.0 : 0.01 * std::stod(chip);
    if (arm == "ideal") pretend(folder.path(), run, 0.9, 0.95, 60000.0);
    if (arm == "direct") pretend(folder.path(), run, 0.51 - off, 0.8, 0.0);
    if (arm == "directions") pretend(folder.path(), run, 0.81 - off, 0.86 - off, 200000.0);
    if (arm == "twin" && chip != "2") pretend(folder.path(), run, 0.9, 0.95, 1088.0 + 6400.0);
  }
  (void)write_imperfect_study(options, folder.path(), {.program = "no-such-gnuplot"});
  const std::string report = read_file(folder.path() / "report.md");
  const std::string table = read_file(folder.path() / "table.csv");
  EXPECT_THAT(report, HasSubstr("Everything is simulation"));
  EXPECT_THAT(report, HasSubstr("figures/imperfect.png"));
  EXPECT_LT(report.find("| random directions"), report.find("figures/imperfect.png"));
  const std::string page = read_file(folder.path() / "report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("<strong>Everything is simulation</strong>"), HasSubstr("<td>random directions</td>"),
                          HasSubstr("href=\"runs/" + study.runs[0].name + "/summary.json\""),
                          HasSubstr("<pre>ffzero reproduce imperfect --quick\n")));
  // Medians of chips 0 to 2, the lowest of them; (0.80 - 0.50) / (0.90 - 0.50); 200,000 readings in batches of 64.
  EXPECT_THAT(table, HasSubstr("random directions,outputs,opaque,20,3125,0.512,0.8000,0.7900,0.75,0.8500,0.8400,\n"));
  EXPECT_THAT(table, HasSubstr("\"trained on the model, loaded\",nothing,opaque,0,1,0.0001,0.5000,0.4900,-,0.8000,0.8000,\n"));
  // 68 settings of the calibration, and 100 batches.
  EXPECT_THAT(table, HasSubstr("\"twin, fitted\",layout and equations,opaque,0.749,168,0.0243,0.9000,0.9000,1,0.9500,0.9500,1 missing\n"));
  EXPECT_THAT(table, HasSubstr("learnt matrix,linear in the field,,-,-,-,-,-,-,-,-,3 missing\n"));
}

}  // namespace
}  // namespace ffzero
