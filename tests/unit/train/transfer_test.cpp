// Transfer matrices learnt from readings: retrieval, generators, training.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/gradient/transfer_matrix.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

/// A chip in double: its matrix and what it says.
class FieldBench {
 public:
  FieldBench(Index ports, std::uint64_t seed, double noise = 0.0, Index bits = 0)
      : layout_(ports),
        chip_(layout_, {draw_chip(layout_, {.seed = seed, .coupler = 0.06, .phase = 0.06, .dac_bits = bits}, 0)}),
        theta_(layout_.parameter_count()),
        noise_(noise),
        seed_(seed) {
    RandomStream(seed, Stream::test, 1).fill_uniform(std::span<double>(theta_.data(), usize(theta_.size())));
    theta_ *= 6.28;
  }
  [[nodiscard]] Index ports() const { return layout_.ports(); }
  [[nodiscard]] Index parameters() const { return theta_.size(); }
  [[nodiscard]] ComplexMatrix matrix(Index moved = -1, double step = 0.0) const {
    const Index n = ports();
    Matrix<double> x = Matrix<double>::Zero(n, 2 * n), y(n, 2 * n);
    x.leftCols(n).setIdentity();
    Vector<double> theta = theta_;
    if (moved >= 0) theta[moved] += step;
    chip_.forward(as_span(std::as_const(theta)), x, y);
    ComplexMatrix u(n, n);
    u.real() = y.leftCols(n).transpose();
    u.imag() = y.rightCols(n).transpose();
    return u;
  }
  /// (B, ports), with noise as a share of a sample's mean power a port.
  [[nodiscard]] Matrix<float> read(const Matrix<float>& x, Index moved = -1, double step = 0.0) {
    Matrix<double> powers = (matrix(moved, step) * fields_of(x)).cwiseAbs2().transpose();
    Matrix<double> drawn(powers.rows(), powers.cols());
    RandomStream(seed_, Stream::test, 2, readings_++).fill_normal(std::span<double>(drawn.data(), usize(drawn.size())));
    powers += noise_ * (powers.rowwise().mean().asDiagonal() * drawn);
    return powers.cast<float>();
  }
  [[nodiscard]] Matrix<float> inputs(Index rows, std::uint64_t draw) const {
    Matrix<float> x = normal_matrix<float>(rows, 2 * ports(), draw);
    x.rowwise().normalize();
    return x;
  }

 private:
  MeshLayout layout_;
  ChipMesh<double> chip_;
  Vector<double> theta_;
  double noise_;
  std::uint64_t seed_, readings_ = 0;
};

/// Largest difference of two matrices when outputs may turn.
double apart(const ComplexMatrix& a, const ComplexMatrix& b) {
  double most = 0.0;
  for (Index k = 0; k < a.rows(); ++k) {
    const std::complex<double> overlap = (b.row(k) * a.row(k).adjoint())(0, 0);
    const std::complex<double> phase = std::abs(overlap) > 0.0 ? overlap / std::abs(overlap) : 1.0;
    most = std::max(most, (a.row(k) * phase - b.row(k)).cwiseAbs().maxCoeff());
  }
  return most;
}

TEST(TransferMatrix, IsRetrievedFromDesignedProbes) {
  for (const Index ports : {4, 5, 8, 16})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      FieldBench bench(ports, seed);
      const ComplexMatrix found = retrieve_transfer(ports, bench.read(transfer_probes(ports)));
      EXPECT_LT(apart(found, bench.matrix()), 1e-3) << ports << " ports, seed " << seed;
      const Matrix<float> x = bench.inputs(10, 9);
      EXPECT_LT(transfer_error(found, fields_of(x), bench.read(x)), 1e-6);
    }
}

TEST(TransferMatrix, SaysHowFarItMissesUnderNoise) {
  FieldBench bench(16, 1, 0.05);
  const ComplexMatrix found = retrieve_transfer(16, bench.read(transfer_probes(16)));
  const Matrix<float> x = bench.inputs(40, 9);
  const double miss = transfer_error(found, fields_of(x), bench.read(x));
  EXPECT_GT(miss, 1e-3);
  EXPECT_LT(miss, 0.2);
  EXPECT_GT(transfer_error(found, fields_of(x), Matrix<float>(bench.read(x).rowwise().reverse())), 0.5);
}

TEST(TransferMatrix, IsCorrectedByReadings) {
  FieldBench bench(8, 2);
  ComplexMatrix u = bench.matrix();
  u += 0.02 * (normal_matrix<double>(8, 8, 1) + std::complex<double>(0, 1) * normal_matrix<double>(8, 8, 2));
  double before = apart(u, bench.matrix());
  for (std::uint64_t round = 0; round < 8; ++round) {
    const Matrix<float> x = bench.inputs(8, 20 + round);
    correct_transfer(u, fields_of(x), bench.read(x), 1e-3, 0.0);
  }
  EXPECT_LT(apart(u, bench.matrix()), before / 5.0);
}

TEST(TransferMatrix, GeneratorsAreThoseOfTheMesh) {
  Index judged = 0, good = 0;
  for (const Index ports : {4, 6, 9, 12, 16})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      FieldBench bench(ports, seed);
      const ComplexMatrix u = bench.matrix();
      const Matrix<float> x = bench.inputs(16, seed);
      const ComplexMatrix y = u * fields_of(x);
      for (Index p = static_cast<Index>(seed); p < bench.parameters(); p += 7) {
        // Exact, as a difference of matrices: dU = i H U.
        const ComplexMatrix exact = std::complex<double>(0, -1) * (bench.matrix(p, 1e-6) - u) / 1e-6 * u.adjoint();
        const double step = p % 2 == 0 ? 1e-3 : 0.5;
        const PowerChanges seen{.changes = (bench.matrix(p, step) * fields_of(x)).cwiseAbs2() - y.cwiseAbs2(), .step = step};
        const GeneratorFit fit = fit_generator(y, seen, 3, {}, 0.02);
        // Powers say nothing of a phase of a single output.
        const ComplexMatrix found = power_slopes(fit.generator, u).cast<std::complex<double>>();
        const Matrix<double> wanted = (std::complex<double>(0, 2) * u.conjugate()).cwiseProduct(exact * u).real();
        if (wanted.norm() < 1e-3) continue;
        ++judged;
        if ((found.real() - wanted).norm() < 0.1 * wanted.norm()) ++good;
        if (fit.held_out < 0.01) {
          // Powers hardly tell how far a parameter turns an output on which little else depends; behind a long step that turns its slopes.
          const double most = step < 0.1 ? 0.1 * wanted.norm() : 0.4 * std::max(wanted.norm(), 0.5);
          EXPECT_LT((found.real() - wanted).norm(), most) << ports << " ports, parameter " << p;
        }
      }
    }
  EXPECT_GT(judged, 150);
  EXPECT_GT(good, judged * 97 / 100) << "of " << judged;
}

TEST(TransferMatrix, GeneratorsSurviveNoiseAndBits) {
  // A step of 0.5, 2 % of noise, 8 bits.
  Index judged = 0, kept = 0, right = 0;
  for (const Index ports : {4, 8, 16})
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      FieldBench bench(ports, seed, 0.02, 8);
      const ComplexMatrix u = bench.matrix();
      const Matrix<float> x = bench.inputs(16, seed);
      const ComplexMatrix y = u * fields_of(x);
      for (Index p = 0; p < bench.parameters(); p += 5) {
        const Matrix<double> exact = (bench.matrix(p, 0.1) * fields_of(x)).cwiseAbs2() - (bench.matrix(p, -0.1) * fields_of(x)).cwiseAbs2();
        if (exact.norm() < 0.02) continue;
        const GeneratorFit fit = fit_generator(y,
                                               {.changes = (bench.read(x, p, 0.5) - bench.read(x)).cast<double>().transpose(),
                                                .step = 0.5,
                                                .noise = 0.02 * std::sqrt(2.0) / static_cast<double>(ports)},
                                               3, {}, 0.02);
        ++judged;
        if (fit.held_out > 0.5) continue;
        ++kept;
        const Matrix<double> found = power_slopes(fit.generator, y);
        if (found.cwiseProduct(exact).sum() > 0.9 * found.norm() * exact.norm()) ++right;
      }
    }
  EXPECT_GT(judged, 50);
  EXPECT_GT(kept, judged * 3 / 4) << "of " << judged;
  EXPECT_GT(right, kept * 9 / 10) << "of " << kept;
}

TEST(TransferMatrix, TurnsAsTheExponential) {
  FieldBench bench(6, 3);
  const ComplexMatrix u = bench.matrix();
  const Matrix<float> x = bench.inputs(16, 1);
  const ComplexMatrix y = u * fields_of(x);
  for (const Index p : {Index{2}, Index{20}}) {
    const Matrix<double> changes = (bench.matrix(p, 1e-5) * fields_of(x)).cwiseAbs2() - y.cwiseAbs2();
    const GeneratorFit fit = fit_generator(y, {.changes = changes, .step = 1e-5}, 3, {}, 0.02);
    ComplexMatrix moved = u;
    turn(moved, fit.generator, 0.7);
    EXPECT_LT(apart(moved, bench.matrix(p, 0.7)), 1e-2) << p;
    EXPECT_GT(apart(u, bench.matrix(p, 0.7)), 5e-2) << p;
    turn(moved, fit.generator, -0.7);
    EXPECT_LT(apart(moved, u), 1e-2) << p;
  }
}

Settings with_transfer(Settings more) {
  Settings s{{"model.kind", "photonic"},          {"model.mesh.layers", "1"},        {"dataset.crop", "4"},
             {"training.batch_size", "20"},       {"training.epochs", "3"},          {"training.log_samples", "20"},
             {"model.mesh.chip.coupler", "0.06"}, {"model.mesh.chip.phase", "0.06"}, {"gradient.estimator", "transfer"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

TEST(TransferInTraining, BillsItsReadings) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  // 9 steps: two groups of 64 phases are measured; a batch has 20 samples, of which 16 join the 16 random fields.
  const RunRecord record = run<float>(resolved(with_transfer({}), splits), splits).record;
  EXPECT_EQ(record.ledger.layer(0).training, 16 + 3 * 33 + 2 * 16 + 2 * (32 + 64 * 16));
  EXPECT_EQ(record.ledger.layer(0).pullbacks, 3 * kTrain);
  EXPECT_EQ(record.information, Information::transfer);
  EXPECT_EQ(to_string(record.information), "transfer");
  // Where readings have noise, the 16 fields that all are held against are read four times.
  const RunRecord noisy =
      run<float>(
          resolved(with_transfer(
                       {{"model.mesh.chip.read_noise", "0.001"}, {"gradient.transfer.readings", "10"}, {"gradient.transfer.steps", "9"}}),
                   splits),
          splits)
          .record;
  EXPECT_EQ(noisy.ledger.layer(0).training, 16 + 3 * 33 + 2 * 16 + (30 + 3 * 10) + 64 * 10);
}

TEST(TransferInTraining, KeepsItsBudget) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  constexpr std::int64_t kFirst = 16 + 3 * 33 + 2 * 16, kGroup = 32 + 64 * 16;
  // Room for two groups, if it is known that readings have no noise, and one evaluation less.
  for (const auto& [budget, taken] : {std::pair<std::int64_t, std::int64_t>{kFirst + 2 * kGroup, kFirst + 2 * kGroup},
                                      {kFirst + 2 * kGroup - 1, kFirst + kGroup},
                                      {kFirst + kGroup - 1, 0}}) {
    const RunRecord record =
        run<float>(resolved(with_transfer({{"budget.forward_evals", std::to_string(budget)}, {"training.epochs", "20"}}), splits), splits)
            .record;
    EXPECT_EQ(record.ledger.layer(0).training, taken);
    EXPECT_EQ(record.stopped_by, "budget");
  }
}

TEST(TransferInTraining, ResumesAndSharesWorkBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  // Stopped between the steps that follow one measurement.
  for (const Settings& settings :
       {with_transfer({{"model.mesh.chip.read_noise", "0.001"}, {"gradient.transfer.steps", "2"}, {"gradient.transfer.parameters", "8"}}),
        with_transfer({{"model.mesh.parallel", "2"}, {"model.mesh.linear_head", "trained"}, {"gradient.transfer.parameters", "8"}}),
        with_transfer(
            {{"model.mesh.chip.drift_rms", "0.1"}, {"model.mesh.chip.drift_time", "0.01"}, {"gradient.transfer.parameters", "8"}})})
    expect_resumes_bit_for_bit(resolved(settings, splits), splits, 4);
}

TEST(TransferInTraining, BeatsDirectionsAtEqualEvaluations) {
  const Splits splits = make_glyphs(1, 400, 200);
  const RunRecord learnt = run<float>(resolved(with_transfer({{"training.batch_size", "200"},
                                                              {"training.epochs", "60"},
                                                              {"update.lr", "0.1"},
                                                              {"update.beta1", "0.5"},
                                                              {"update.beta2", "0.9"}}),
                                               splits),
                                      splits)
                               .record;
  Settings random = with_transfer({{"training.batch_size", "16"}, {"training.epochs", "40"}, {"gradient.directions", "1"}});
  for (auto& [key, value] : random)
    if (value == "transfer") value = "directional";
  const RunRecord directions = run<float>(resolved(random, splits), splits).record;
  EXPECT_LT(learnt.ledger.layer(0).training, directions.ledger.layer(0).training);
  EXPECT_GT(learnt.final_test.value, directions.final_test.value + 0.1);
}

TEST(TransferInTraining, RefusesWhatItCannotDo) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto refused = [&](const Settings& settings) {
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(settings, splits), splits)); });
  };
  EXPECT_EQ(
      refused({{"gradient.estimator", "transfer"}}),
      "command line: gradient.estimator: a transfer matrix is that of a mesh, a chip or a device with a local loss; got \"transfer\"; use "
      "model.kind = \"photonic\" or \"device\" and scope \"local\"");
  EXPECT_NE(refused(with_transfer({{"gradient.transfer.readings", "4"}})).find("gradient.transfer.readings: must lie in 8 .."),
            std::string::npos);
  EXPECT_NE(refused(with_transfer({{"gradient.transfer.base", "10"}})).find("must not be fewer than gradient.transfer.readings"),
            std::string::npos);
  EXPECT_NE(refused(with_transfer({{"gradient.directions", "3"}})).find("no effect here"), std::string::npos);
}

TEST(TransferInTraining, FallsBackToOutputsAloneWhereTheMatrixDoesNotExplainTheReadings) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Config config = resolved(with_transfer({{"model.mesh.chip.read_noise", "3"}}), splits);
  std::vector<std::string> lines;
  std::string plan;
  TrainEvents events;
  events.message = [&](const std::string& line) {
    if (line.find("outputs alone") != std::string::npos) lines.push_back(line);
    if (line.find("reads the device") != std::string::npos) plan = line;
  };
  const RunRecord record = run<float>(config, splits, 1, events).record;
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("going on with estimates from outputs alone"), std::string::npos) << lines[0];
  EXPECT_EQ(record.information, Information::opaque);
  EXPECT_GT(record.layers[0].measured.fallback, 0.5);
  EXPECT_EQ(to_json(record).at("layers").at(0).at("fallback").at("held_out_error"), record.layers[0].measured.fallback);
  // Nine steps of 64 phases and a base reading, 16 samples each.
  EXPECT_EQ(record.ledger.layer(0).training, 16 + 3 * 33 + 2 * 16 + 9 * 65 * 16);
  EXPECT_NE(plan.find(fmt::format("if not, {:.3g} times", static_cast<double>(record.ledger.layer(0).training) / kTrain)),
            std::string::npos)
      << plan;
  const Config stop = resolved(with_transfer({{"model.mesh.chip.read_noise", "3"}, {"gradient.fallback", "stop"}}), splits);
  EXPECT_NE(
      message_of<GateError>([&] { static_cast<void>(run<float>(stop, splits)); }).find("mesh0: what was learnt of the device must miss"),
      std::string::npos);
  EXPECT_EQ(record.ledger.layer(0).pullbacks, 0);
  expect_resumes_bit_for_bit(config, splits, 2);
  // It learns, where the gate is what stops the matrix.
  const auto end = [&](const char* gate) {
    return run<float>(resolved(with_transfer({{"gradient.transfer.gate", gate},
                                              {"model.mesh.chip.read_noise", "0.0001"},
                                              {"training.epochs", "60"},
                                              {"update.lr", "0.05"},
                                              {"update.beta1", "0.5"}}),
                               splits),
                      splits)
        .record;
  };
  const RunRecord alone = end("1e-9");
  EXPECT_EQ(alone.information, Information::opaque);
  EXPECT_GT(alone.final_train.value, 0.3);
}

}  // namespace
}  // namespace ffzero::test
