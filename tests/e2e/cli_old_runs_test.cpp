// Run folders that version 0.1 wrote (commit 114223b; runs_of_114223b/README.md) still serve.
// SPDX-License-Identifier: MIT
#include "program.hpp"
#include "support/project_folder.hpp"

namespace ffzero::test {
namespace {

constexpr double kOneSample = 1.0 / 48.0;  // of the test set: two BLAS kernels may differ about a sample that lies on a border

class OldRunFolders : public ::testing::Test {
 protected:
  OldRunFolders() { fs::copy(folder(), place_.path("."), fs::copy_options::recursive | fs::copy_options::overwrite_existing); }
  static fs::path folder() { return project_folder() / "tests/e2e/runs_of_114223b"; }
  static double test_value(const fs::path& run) { return json_of(read_file(run / "summary.json")).at("final").at("test").get<double>(); }

  Workplace place_;
};

class OldRun : public OldRunFolders, public ::testing::WithParamInterface<const char*> {};

TEST_P(OldRun, IsEvaluatedAsItWas) {
  const std::string run = GetParam();
  const auto evaluation = json_of(succeed(place_, {"eval", run, "--json"}).out);
  EXPECT_NEAR(evaluation.at("final").get<double>(), test_value(folder() / run), 1.5 * kOneSample);
  succeed(place_, {"inspect", run});
  succeed(place_, {"predict", run, "images.npz"});
  // Its configuration reads back as the same run, with what has come since at the value that it had.
  succeed(place_, {"train", run + "/config.toml", "--quiet", "--no-report", "--out", "again"});
  EXPECT_NEAR(test_value(place_.path("again")), test_value(folder() / run), 1.5 * kOneSample);
}

INSTANTIATE_TEST_SUITE_P(Of114223b, OldRun, ::testing::Values("mlp_ff_dd", "mlp_bp_ad", "cnn_ff_ad", "mesh_ff_dd", "mlp_default"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(OldRunFolders, GoOnWhereTheyWereStopped) {
  succeed(place_, {"train", "--resume", "stopped", "--quiet", "--no-report"});
  EXPECT_NEAR(test_value(place_.path("stopped")), test_value(folder() / "ended"), 1.5 * kOneSample);
  const NpzArchive expected = read_npz(folder() / "ended" / "checkpoint.npz"), found = read_npz(place_.path("stopped") / "checkpoint.npz");
  for (const char* name : {"layer0.theta", "layer1.theta"}) {
    const auto a = expected.at(name).to<double>(), b = found.at(name).to<double>();
    ASSERT_EQ(a.size(), b.size());
    // The same bits on one machine; on others the products of matrices round differently.
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-3) << name << " " << i;
  }
}

}  // namespace
}  // namespace ffzero::test
