// Golden files mlp_*: dense layers and networks through loss, estimator and update, local and end to end.
// SPDX-License-Identifier: MIT
#include "block_steps.hpp"

namespace ffzero::test {
namespace {

using nlohmann::json;

constexpr double kGradient = 1e-11;
constexpr double kAdam = 1e-9;

Vector<double> joined(const std::vector<std::pair<json, json>>& layers) {
  std::vector<double> all;
  for (const auto& [weight, bias] : layers)
    for (const json* part : {&weight, &bias}) {
      const auto values = flat(*part);
      all.insert(all.end(), values.begin(), values.end());
    }
  return Eigen::Map<Vector<double>>(all.data(), isize(all.size()));
}

Vector<double> layers_of(const json& weights, const json& biases) {
  std::vector<std::pair<json, json>> layers;
  for (std::size_t l = 0; l < weights.size(); ++l) layers.emplace_back(weights.at(l), biases.at(l));
  return joined(layers);
}

/// One layer with its local loss: the paper's margin sum, or the mean squared loss.
TestBlock<double> local_block(const json& j) {
  const json& config = j.at("config");
  TestBlock<double> block;
  Layer<double> layer;
  layer.map = std::make_shared<Dense<double>>(Shape{.width = config.at("in_dim").get<Index>()}, config.at("out_dim").get<Index>());
  layer.head = std::make_shared<PrototypeHead<double>>(std::vector{matrix_of(j.at("inputs").at("ref"))});
  block.layers.push_back(std::move(layer));
  if (is_regression(j)) {
    block.set_loss(kSquared, Reduction::mean);
  } else {
    const double margin = config.at("margin").get<double>();
    block.set_loss([margin](auto) { return make_margin_loss<double>(margin); }, Reduction::sum);
  }
  block.theta = joined({{j.at("inputs").at("weight"), j.at("inputs").at("bias")}});
  return block;
}

/// All layers on one loss of the raw outputs.
TestBlock<double> end_to_end_block(const json& j) {
  const auto dims = flat<Index>(j.at("config").at("dims"));
  TestBlock<double> block;
  for (std::size_t l = 0; l + 1 < dims.size(); ++l) {
    Layer<double> layer;
    layer.map = std::make_shared<Dense<double>>(Shape{.width = dims[l]}, dims[l + 1]);
    block.layers.push_back(std::move(layer));
  }
  block.head = std::make_shared<LogitsHead<double>>(dims.back(), is_regression(j) ? 1 : dims.back());
  block.end_to_end = true;
  if (is_regression(j))
    block.set_loss(kSquared, Reduction::mean);
  else
    block.set_loss(kLogitsCrossEntropy, Reduction::mean);
  block.theta = layers_of(j.at("inputs").at("weights"), j.at("inputs").at("biases"));
  return block;
}

RecordedStep recorded(const json& step, Vector<double> after) {
  return {.directions = unit_rows(matrix_of(step.at("directions_raw"))),
          .eps = step.at("eps").get<double>(),
          .lr = step.at("lr").get<double>(),
          .loss_pos = flat(step.at("loss_pos")),
          .loss_neg = flat(step.at("loss_neg")),
          .after = std::move(after)};
}

/// The exact gradient at the block's parameters, then one step of Adam after another.
template <class After>
void expect_adjoint(TestBlock<double> block, const Batch<double>& batch, const json& j, double loss, const Vector<double>& gradient,
                    After after, const std::string& what) {
  const Executor executor(2);
  Ledger ledger(isize(block.layers.size()));
  AdjointBlockLoss<double> objective(block.view(), executor, ledger);
  objective.set_batch(batch);
  Vector<double> g(block.theta.size());
  EXPECT_NEAR(objective.value_and_gradient(as_span(std::as_const(block.theta)), as_span(g)), loss, 1e-12 * (1.0 + loss)) << what;
  expect_near(g, gradient, kGradient, kGradient, what + " gradient");
  const auto adam = make_adam<double>(g.size(), {.epsilon = j.at("config").at("adam_eps").get<double>()});
  for (const auto& step : j.at("adam_steps")) {
    const double before = objective.value_and_gradient(as_span(std::as_const(block.theta)), as_span(g));
    EXPECT_NEAR(before, step.at("loss_before_step").get<double>(), kAdam) << what;
    adam->step(as_span(block.theta), as_span(std::as_const(g)), j.at("config").at("lr").get<double>());
    expect_near(block.theta, after(step), kAdam, kAdam, what + " after Adam");
  }
}

TEST(GoldenMlpBlock, LocalDirectionalStepsAreTheReferences) {
  for (const char* prefix : {"mlp_cls", "mlp_reg"}) {
    std::size_t steps = 0;
    for (const auto& path : golden_files("mlp-cnn", prefix)) {
      const json j = read_json(path);
      if (!j.contains("dd_steps")) continue;
      const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
      const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), is_regression(j));
      for (const json& step : j.at("dd_steps")) {
        expect_step(local_block(j), {.x = x, .targets = targets.view()},
                    recorded(step, joined({{step.at("weight_after"), step.at("bias_after")}})), path.filename().string());
        ++steps;
      }
    }
    EXPECT_GT(steps, 0U) << prefix;
  }
}

TEST(GoldenMlpBlock, LocalGradientsAndAdamStepsAreTheReferences) {
  for (const char* prefix : {"mlp_cls", "mlp_reg"}) {
    std::size_t files = 0;
    for (const auto& path : golden_files("mlp-cnn", prefix)) {
      const json j = read_json(path);
      if (!j.contains("adam_steps")) continue;
      const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
      const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), is_regression(j));
      const auto after = [](const json& step) { return joined({{step.at("weight_after"), step.at("bias_after")}}); };
      expect_adjoint(local_block(j), {.x = x, .targets = targets.view()}, j, j.at("expected").at("loss").get<double>(),
                     joined({{j.at("expected").at("grad_weight"), j.at("expected").at("grad_bias")}}), after, path.filename().string());
      ++files;
    }
    EXPECT_GT(files, 0U) << prefix;
  }
}

TEST(GoldenMlpBlock, EndToEndStepsAreTheReferences) {
  const auto files = golden_files("mlp-cnn", "mlp_model_bp");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const json j = read_json(path);
    const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
    const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), is_regression(j));
    const Batch<double> batch{.x = x, .targets = targets.view()};
    const auto after = [](const json& step) { return layers_of(step.at("weights_after"), step.at("biases_after")); };
    for (const json& step : j.at("dd_steps"))
      expect_step(end_to_end_block(j), batch, recorded(step, after(step)), path.filename().string());
    expect_adjoint(end_to_end_block(j), batch, j, j.at("expected").at("loss").get<double>(),
                   layers_of(j.at("expected").at("grad_weights"), j.at("expected").at("grad_biases")), after, path.filename().string());
  }
}

}  // namespace
}  // namespace ffzero::test
