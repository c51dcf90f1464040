// Photonic networks in training: trained readouts and their bill, resuming with them, meshes from files, dark inputs.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/train/mesh_start.hpp"
#include "ffzero/train/readout_head.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

Settings photonic(Settings more) {
  Settings s{{"model.kind", "photonic"},          {"dataset.crop", "4"},         {"training.epochs", "3"},
             {"training.batch_size", "16"},       {"training.log_samples", "0"}, {"training.log_test", "false"},
             {"dataset.optical_field", "fourier"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

std::vector<Settings> with_readout() {
  return {
      photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}}),
      photonic({{"preset", "adjoint"}, {"model.mesh.linear_head", "trained"}, {"model.mesh.layers", "2"}}),
      photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}, {"model.mesh.parallel", "2"}, {"gradient.directions", "2"}}),
      photonic({{"preset", "default"}, {"gradient.estimator", "coordinate"}, {"model.mesh.linear_head", "trained"}}),
      photonic({{"preset", "adjoint"}, {"model.mesh.linear_head", "joint"}, {"model.mesh.layers", "2"}}),
      photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "joint"}})};
}

TEST(TrainedReadout, CostsNothingBeyondTheReadingsOfTraining) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const Settings& settings : with_readout()) {
    const Config config = resolved(settings, splits);
    Settings without = settings;
    without.emplace_back("model.mesh.linear_head", "none");
    const auto read = run<float>(config, splits), plain = run<float>(resolved(without, splits), splits);
    EXPECT_EQ(read.record.ledger.total(), plain.record.ledger.total());
    EXPECT_EQ(read.record.front_ends, std::vector<std::string>{"trained readout"});
  }
}

TEST(TrainedReadout, OfAnUntrainedMeshIsBilledOneReading) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto result = run<float>(
      resolved(photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}, {"training.epochs", "0"}}), splits), splits);
  EXPECT_EQ(result.record.ledger.layer(0).training, 0);
  EXPECT_EQ(result.record.ledger.layer(0).propagation, kTrain);
  EXPECT_GT(result.record.final_train.value, 0.5);  // 17 numbers for each of ten classes fit sixty samples well
}

TEST(TrainedReadout, IsFittedOnWhatABudgetLeftRead) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto result = run<float>(
      resolved(photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}, {"budget.forward_evals", "64"}}), splits), splits);
  EXPECT_EQ(result.record.stopped_by, "budget");
  EXPECT_EQ(result.record.ledger.layer(0).training, 64);  // 32 samples, both sides
  EXPECT_EQ(result.record.ledger.layer(0).propagation, 0);
  EXPECT_EQ(result.record.front_ends, std::vector<std::string>{"trained readout"});
}

TEST(TrainedReadout, ResumesBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const Settings& settings : with_readout()) {
    expect_resumes_bit_for_bit(resolved(settings, splits), splits, 7);
  }
}

TEST(ReadoutHead, HasTheGradientsOfItsScores) {
  const Matrix<double> prototypes = simplex_prototypes(4, 6, RandomStream(1, Stream::prototype));
  const ReadoutHead<double> head(prototypes, 0.05);
  const Matrix<double> z = normal_matrix<double>(3, 6, 5).cwiseAbs2(), gs = normal_matrix<double>(3, 4, 6);
  const auto value = [&](const ReadoutHead<double>& h, const Matrix<double>& at) {
    Matrix<double> scores(3, 4);
    h.scores(at, scores);
    return scores.cwiseProduct(gs).sum();
  };
  Matrix<double> gz(3, 6), gw(4, 7);
  head.pullback(z, gs, gz);
  expect_matrix_gradient([&](const Matrix<double>& at) { return value(head, at); }, z, gz, "powers");
  head.weight_gradient(z, gs, gw);
  const Vector<double> weights = as_vector(head.state());
  expect_gradient(
      [&](const Vector<double>& w) {
        ReadoutHead<double> moved(prototypes, 0.05);
        as_vector(moved.state()) = w;
        return value(moved, z);
      },
      weights, Vector<double>(Eigen::Map<const Vector<double>>(gw.data(), gw.size())), "weights");
}

TEST(ReadoutHead, StartsNearThePrototypesAndScoresDarknessZero) {
  const Matrix<double> prototypes = simplex_prototypes(4, 64, RandomStream(1, Stream::prototype));
  const ReadoutHead<double> head(prototypes, 0.05);
  Matrix<double> z = normal_matrix<double>(50, 128, 5).cwiseAbs2();  // speckle: sums of two squares
  z = (z.leftCols(64) + z.rightCols(64)).eval();
  z.row(0).setZero();
  Matrix<double> own(50, 4), cosine(50, 4);
  head.scores(z, own);
  PrototypeHead<double>({prototypes}).scores(z, cosine);
  EXPECT_LT((own - cosine).cwiseAbs().maxCoeff(), 0.3 * cosine.cwiseAbs().maxCoeff());
  EXPECT_TRUE(own.row(0).isZero(0.0));
}

TEST(JointReadout, LearnsBetterThanTheOneFittedAfterwards) {
  const Splits splits = make_glyphs(1, 400, 100);
  const auto accuracy_with = [&](const char* readout) {
    return run<float>(resolved(photonic({{"preset", "adjoint"}, {"model.mesh.linear_head", readout}, {"training.epochs", "20"}}), splits),
                      splits)
        .record.final_train.value;
  };
  EXPECT_GT(accuracy_with("joint"), accuracy_with("trained"));
}

TEST(JointReadout, NeedsCrossEntropyAndOneMesh) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  EXPECT_NE(message_of<ConfigError>([&] {
              static_cast<void>(
                  resolved(photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "joint"}, {"objective.loss", "cosine"}}), splits));
            }).find("needs cross-entropy"),
            std::string::npos);
  const Config parallel =
      resolved(photonic({{"preset", "opaque"}, {"model.mesh.linear_head", "joint"}, {"model.mesh.parallel", "2"}}), splits);
  EXPECT_EQ(
      message_of<ConfigError>([&] {
        static_cast<void>(build_network<float>(parallel, {2, 1, 16}, 10, std::make_shared<const Executor>(1)));
      }),
      "model.mesh.linear_head: a readout that learns along with the mesh looks at one mesh; got model.mesh.parallel = 2; use \"trained\"");
}

TEST(TrainedReadout, RefusesReadingsOfAnotherSize) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Config config = resolved(with_readout()[0], splits);
  TrainerState state;
  TrainEvents events;
  events.save = [&](const TrainerState& now) { state = now; };
  events.stop_requested = [] { return true; };
  static_cast<void>(run<float>(config, splits, 1, events));
  ASSERT_EQ(state.arrays.at("readout.reads").shape, (std::vector<Index>{kTrain, 16}));
  state.arrays.at("readout.reads") = NpyArray::of<float>(std::vector<float>(32), {2, 16});
  auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1));
  EXPECT_EQ(message_of<DataError>([&] { trainer.restore(state, "c.npz"); }),
            "c.npz: readout.reads must be 60 x 16; got 2 x 16; the file is damaged");
}

TEST(MeshStart, GivesBackWhatWasExported) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings two = photonic({{"preset", "adjoint"}, {"model.mesh.layers", "2"}});
  const Config config = resolved(two, splits);
  auto trained = make_trainer<float>(config, splits, std::make_shared<const Executor>(1));
  trained.run();
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "meshes.npz").string();
  const MeshExport meshes = mesh_export(trained.network());
  write_mesh_file(path, meshes.file, meshes.layout);
  Settings again = two;
  again.insert(again.end(), {{"seed", "9"}, {"model.mesh.file", path}, {"training.epochs", "0"}});
  auto start = make_trainer<float>(resolved(again, splits), splits, std::make_shared<const Executor>(1));
  EXPECT_EQ(Vector<float>(as_vector(start.network().theta(0, 2))), Vector<float>(as_vector(trained.network().theta(0, 2))));
  start.run();
  EXPECT_EQ(start.outputs().test_scores[1], trained.outputs().test_scores[1]);  // the prototypes came along
}

TEST(MeshStart, SaysWhatDoesNotFit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "meshes.npz").string();
  const auto executor = std::make_shared<const Executor>(1);
  const auto start = [&](Settings more) {
    more.emplace_back("model.mesh.file", path);
    const Config config = resolved(photonic(more), splits);
    return message_of<Error>([&] { static_cast<void>(initial_network<float>(config, {2, 1, 16}, 10, executor)); });
  };
  const Config one = resolved(photonic({{"model.mesh.layers", "1"}}), splits);
  MeshExport meshes = mesh_export(build_network<float>(one, {2, 1, 16}, 10, executor));
  write_mesh_file(path, meshes.file, meshes.layout);
  const Config fits = resolved(photonic({{"model.mesh.layers", "1"}, {"model.mesh.file", path}}), splits);
  EXPECT_NO_THROW(static_cast<void>(initial_network<float>(fits, {2, 1, 16}, 10, executor)));
  EXPECT_EQ(start({{"model.mesh.layers", "2"}}), path + ": must hold 2 meshes, one a layer; got 1; set model.mesh.layers = 1");
  EXPECT_EQ(start({{"model.mesh.parallel", "2"}}),
            "model.mesh.file: mesh files hold meshes in a row; got layer 0 ('meshes'); use model.kind = \"photonic\" and "
            "model.mesh.parallel = 1");
  EXPECT_EQ(start({{"model.mesh.layout", "triangular"}}),
            "model.mesh.file: mesh files hold rectangular meshes; got triangular; use model.mesh.layout = \"rectangular\"");
  meshes.file.simplex_refs[0].conservativeResize(4, Eigen::NoChange);
  write_mesh_file(path, meshes.file, meshes.layout);
  EXPECT_EQ(start({{"model.mesh.layers", "1"}}),
            path + ": simplex_refs must hold 10 prototypes a layer, one a class; got 4; choose dataset.classes to match");
}

TEST(MeshDirections, AreJointUnlessThePaperIsRepeated) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto units = [&](const char* preset) {
    const Config config = resolved({{"preset", preset}, {"model.kind", "photonic"}, {"training.batch_size", "16"}}, splits);
    return build_network<float>(config, {2, 1, 25}, 10, std::make_shared<const Executor>(1)).layer(0).map->parameter_layout().units.size();
  };
  EXPECT_EQ(units("opaque"), 1U);
  EXPECT_EQ(units("paper"), 3U);
}

TEST(Photonic, ReadsClassesAtPortsWhereItIsAsked) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto made = [&](Settings more) {
    more.insert(more.end(), {{"preset", "adjoint"}, {"model.mesh.layers", "3"}, {"vote.rule", "last"}});
    return make_trainer<float>(resolved(photonic(more), splits), splits, std::make_shared<const Executor>(1));
  };
  const auto prototypes = [](const Trainer<float>& trainer, Index layer) {
    return Matrix<float>(dynamic_cast<const PrototypeHead<float>&>(*trainer.network().layer(layer).head).prototypes(0));
  };
  const Matrix<float> ports = Matrix<float>::Identity(splits.train.classes(), 16);
  const auto simplex = made({}), every = made({{"model.mesh.prototypes", "ports"}});
  auto last = made({{"model.mesh.prototypes", "last_ports"}});
  for (Index layer = 0; layer < 3; ++layer) {
    EXPECT_NE(prototypes(simplex, layer), ports);
    EXPECT_EQ(prototypes(every, layer), ports);
    EXPECT_EQ(prototypes(last, layer), layer == 2 ? ports : prototypes(simplex, layer));
  }
  // Scores are powers over their length: all of them positive, and those of ten ports of sixteen no longer than 1.
  static_cast<void>(last.run());
  const Matrix<float>& scores = last.outputs().test_scores.back();
  EXPECT_GE(scores.minCoeff(), 0.0F);
  EXPECT_LE(scores.rowwise().norm().maxCoeff(), 1.0F + 1e-6F);
  EXPECT_LT(last.outputs().test_scores.front().minCoeff(), 0.0F);
  EXPECT_EQ(
      message_of<ConfigError>([&] {
        static_cast<void>(resolved(photonic({{"model.mesh.prototypes", "ports"}, {"objective.scope", "end_to_end"}}), splits));
      }),
      "command line: model.mesh.prototypes: this key has no effect here: it belongs to objective.scope = \"local\" or \"blocks\"; got "
      "\"ports\"; remove it");
}

TEST(Photonic, DarkSamplesScoreZeroInEveryLayer) {
  // All pixels 0: no light at all.
  Splits splits = make_glyphs(1, kTrain, kTest);
  DatasetInfo info = splits.test.info();
  splits.test = Dataset(info, std::vector<std::uint8_t>(usize(2 * info.shape.size()), std::uint8_t{0}), std::vector<std::int32_t>{0, 1});
  for (const char* field : {"amplitude", "fourier"})
    for (const char* nonlinearity : {"electro_optic", "detect", "none"})
      for (const char* gain : {"none", "unit_power", "100"})
        for (const char* loss : {"cosine", "cross_entropy"}) {
          const auto result = run<float>(resolved(photonic({{"dataset.optical_field", field},
                                                            {"preset", "opaque"},
                                                            {"model.mesh.layers", "3"},
                                                            {"model.mesh.nonlinearity", nonlinearity},
                                                            {"model.mesh.gain", gain},
                                                            {"objective.loss", loss},
                                                            {"vote.rule", "sum"},
                                                            {"training.epochs", "1"}}),
                                                  splits),
                                         splits);
          for (const auto& scores : result.outputs.test_scores) EXPECT_TRUE(scores.isZero(0.0F)) << field << nonlinearity << gain << loss;
          EXPECT_TRUE(std::isfinite(result.record.layers.back().test.loss));
        }
}

}  // namespace
}  // namespace ffzero::test
