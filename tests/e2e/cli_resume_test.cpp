// Runs that are interrupted or killed and resumed end as if nothing had happened, bit for bit.
// SPDX-License-Identifier: MIT
#include "compare_runs.hpp"

namespace ffzero::test {
namespace {

// All variants have at least two blocks and three epochs, long enough to be stopped in the middle of a step. Two of them save as they
// would by default, so that a killed run begins far back; the others save after every epoch.
class Resume : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    train_ = train_on(place_, sample_archive(GetParam().data)) + GetParam().arguments + Arguments{"--epochs", "3", "--threads", "1"};
    if (GetParam().name != "Directional" && GetParam().name != "WithPca") train_ = train_ + Arguments{"--set", "training.save_every_s=0"};
    succeed(place_, train_ + Arguments{"--out", "whole"});
  }

  [[nodiscard]] std::size_t epochs_done(const std::string& run) const {
    return lines_of(read_file(place_.path(run) / "metrics.jsonl")).size();
  }

  // Sends `signal` once `epochs` epochs are done and a little later; false if the run was faster than that.
  bool stop(const std::string& run, std::size_t epochs, int delay_us, int signal) {
    const auto running = place_.start(train_ + Arguments{"--out", run});
    EXPECT_TRUE(eventually([&] { return fs::exists(place_.path(run) / "checkpoint.npz") && epochs_done(run) >= epochs; }));
    std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
    running.signal(signal);
    const Outcome outcome = running.wait();
    if (outcome.code == 0) return false;
    EXPECT_EQ(outcome.code, signal == SIGINT ? 130 : 1000 + signal) << outcome.err;
    if (signal == SIGINT) {
      EXPECT_NE(outcome.err.find("ffzero train --resume " + run), std::string::npos) << outcome.err;
    }
    return true;
  }

  // Stops a run after `epochs` epochs, resumes it, and compares it with the uninterrupted one.
  void expect_resumable(std::size_t epochs, int signal) {
    SCOPED_TRACE(testing::Message() << "signal " << signal << " after " << epochs << " epochs");
    std::string run;
    bool stopped = false;
    for (int attempt = 0; attempt < 8 && !stopped && !HasFailure(); ++attempt) {
      run = "stopped-" + std::to_string(epochs) + "-" + std::to_string(signal) + "-" + std::to_string(attempt);
      stopped = stop(run, epochs, 4000 >> attempt, signal);
    }
    ASSERT_TRUE(stopped) << "the run is over before it can be stopped";
    EXPECT_FALSE(fs::exists(place_.path(run) / "summary.json"));
    succeed(place_, {"train", "--quiet", "--no-report", "--resume", run});
    ASSERT_TRUE(fs::exists(place_.path(run) / "summary.json"));
    expect_same_run(place_.path("whole"), place_.path(run));
    for (const auto& entry : fs::directory_iterator(place_.path(run)))
      EXPECT_EQ(entry.path().filename().string().find(".part"), std::string::npos) << entry.path();
  }

  Workplace place_;
  Arguments train_;
};

TEST_P(Resume, EndsAsIfNothingHadHappened) {
  ASSERT_FALSE(HasFailure());
  const std::size_t late = GetParam().name == "EndToEnd" ? 2 : 4;  // the last epoch, or the second block
  for (const int signal : {SIGKILL, SIGINT})
    for (const std::size_t epochs : {std::size_t{0}, std::size_t{1}, late}) {
      expect_resumable(epochs, signal);
      if (HasFailure()) return;
    }
}

const Arguments kWide{"--layers", "96,96", "--batch-size", "16", "--set", "preset=opaque", "--solver", "ff_dd", "--directions", "200"};
const Arguments kAdjoint{"--layers", "96,96", "--batch-size", "2", "--solver", "ff_ad"};

INSTANTIATE_TEST_SUITE_P(
    Cli, Resume,
    ::testing::Values(
        Variant{"Directional", kFeatures, kWide},
        Variant{"WithDropoutAndMomentum", kFeatures,
                kAdjoint + Arguments{"--set", "model.dropout=0.2", "--set", "model.input_dropout=0.1", "--set", "update.rule=momentum"}},
        Variant{"WithAdamAndCosine", kFeatures, kAdjoint + Arguments{"--set", "update.rule=adam", "--set", "update.schedule=cosine"}},
        Variant{"WithPlateauAndHeldNorms", kFeatures,
                kAdjoint + Arguments{"--set", "update.schedule=plateau", "--set", "update.hold_norm=true"}},
        Variant{"WithPca", kFeatures, kAdjoint + Arguments{"--set", "model.pca=[16,24]"}},
        Variant{"EndToEnd", kFeatures, Arguments{"--layers", "96,96,3", "--batch-size", "2", "--solver", "bp_ad"}},
        Variant{
            "ConvolutionsWithRunningStatistics", kImages,
            kConvolutions + kProjections + Arguments{"--batch-size", "4", "--solver", "ff_ad", "--set", "model.conv.batchnorm=running"}},
        Variant{"Imperfect", kFeatures,
                kAdjoint + Arguments{"--set", "model.imperfect.read_noise=0.05", "--set", "model.imperfect.write_noise=0.01", "--set",
                                     "model.imperfect.dac_bits=8", "--set", "model.imperfect.drift_rms=0.05", "--set",
                                     "model.imperfect.drift_time=0.01"}},
        Variant{"Meshes", kFields,
                Arguments{"--model", "photonic", "--layers", "2", "--batch-size", "2", "--solver", "ff_dd", "--directions", "16"}}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace ffzero::test
