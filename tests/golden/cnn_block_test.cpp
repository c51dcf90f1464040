// Golden files cnn_*: convolutional layers and networks through loss, estimator and update.
// SPDX-License-Identifier: MIT
#include "block_steps.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"

namespace ffzero::test {
namespace {

using nlohmann::json;

constexpr StepTolerance kConvTolerance{.loss = 1e-10, .parameters = 1e-8};

Vector<double> concatenated(const std::vector<json>& parts) {
  std::vector<double> all;
  for (const auto& part : parts) {
    const auto values = flat(part);
    all.insert(all.end(), values.begin(), values.end());
  }
  return Eigen::Map<Vector<double>>(all.data(), isize(all.size()));
}

/// A convolutional layer with its fixed projections, its prototypes, and the paper's local loss.
TestBlock<double> local_conv_block(const json& j) {
  const json &config = j.at("config"), &inputs = j.at("inputs");
  const auto size = [&](const char* key) { return config.at(key).get<Index>(); };
  TestBlock<double> block;
  Layer<double> layer;
  layer.map = std::make_shared<ConvBatchNorm<double>>(ConvOptions{.input = {size("in_channels"), size("height"), size("width")},
                                                                  .channels = size("out_channels"),
                                                                  .kernel = size("kernel"),
                                                                  .stride = size("stride"),
                                                                  .padding = size("padding"),
                                                                  .epsilon = config.at("bn_eps").get<double>()});
  const auto projection =
      std::make_shared<ChannelProjection<double>>(layer.map->output_shape(), size("ref_dim"), RandomStream(0, Stream::test));
  const Vector<double> mapping = concatenated(inputs.at("mapping").get<std::vector<json>>());
  as_vector(projection->state()) = mapping;
  layer.readout = projection;
  std::vector<Matrix<double>> prototypes;
  for (const auto& ref : inputs.at("refs")) prototypes.push_back(matrix_of(ref));
  layer.head = std::make_shared<PrototypeHead<double>>(prototypes);
  block.layers.push_back(std::move(layer));
  if (is_regression(j))
    block.set_loss(kSquared, Reduction::mean);
  else
    block.set_loss([margin = config.at("margin").get<double>()](auto) { return make_margin_loss<double>(margin); }, Reduction::sum);
  block.theta = concatenated({inputs.at("conv_weight"), inputs.at("bn_weight"), inputs.at("bn_bias")});
  return block;
}

/// Replays the reference's directional steps, defect included (README of the golden files), with our loss: while channel c moves, its bias
/// stands at its weight's value, and its direction touches kernel and bias alone.
class DefectiveSteps {
 public:
  DefectiveSteps(const json& file, std::string what)
      : file_(file),
        what_(std::move(what)),
        block_(local_conv_block(file)),
        x_(matrix_of(file.at("inputs").at("x"))),
        targets_(golden_targets(file.at("inputs").at("y"), is_regression(file))),
        ledger_(1),
        loss_(block_.view(), executor_, ledger_),
        channels_(file.at("config").at("out_channels").get<Index>()),
        taps_(block_.theta.size() / channels_ - 2) {
    loss_.set_batch({.x = x_, .targets = targets_.view()});
  }

  void run(const json& sequence) {
    Vector<double> theta = block_.theta;
    for (const json& step : sequence.at("steps")) {
      for (Index c = 0; c < channels_; ++c) move_channel(step, c, sequence.at("eps").get<double>(), sequence.at("lr").get<double>(), theta);
      const Vector<double> after = concatenated({step.at("conv_weight_after"), step.at("bn_weight_after"), step.at("bn_bias_after")});
      expect_near(theta, after, kConvTolerance.parameters, kConvTolerance.parameters, what_ + " parameters");
      theta = after;
    }
  }

 private:
  void move_channel(const json& step, Index c, double eps, double lr, Vector<double>& theta) {
    const auto raw = flat(step.at("directions_raw"));
    const Index m = step.at("directions_raw").at("shape").at(1).get<Index>();
    const Index bias = channels_ * (taps_ + 1) + c;
    theta[bias] = theta[channels_ * taps_ + c];
    Matrix<double> directions = Matrix<double>::Zero(m, theta.size());
    for (Index k = 0; k < m; ++k) {
      Vector<double> d = Eigen::Map<const Vector<double>>(raw.data() + (c * m + k) * (taps_ + 1), taps_ + 1);
      d.normalize();
      directions.row(k).segment(c * taps_, taps_) = d.head(taps_).transpose();
      directions(k, bias) = d[taps_];
    }
    Differences differences;
    loss_.differences(as_span(std::as_const(theta)), directions, eps, differences);
    Vector<double> slope = Vector<double>::Zero(theta.size());
    for (Index k = 0; k < m; ++k) {
      const auto plus = flat(step.at("loss_pos").at(usize(c)).at(usize(k))), minus = flat(step.at("loss_neg").at(usize(c)).at(usize(k)));
      const std::size_t own = is_regression(file_) ? 0 : usize(c);
      EXPECT_NEAR(differences.delta(k, c), plus[own] - minus[own], kConvTolerance.loss * (1.0 + plus[own])) << what_ << " channel " << c;
      expect_losses(theta + eps * directions.row(k).transpose(), plus, c);
      expect_losses(theta - eps * directions.row(k).transpose(), minus, c);
      slope += differences.delta(k, c) / (2.0 * eps) * directions.row(k).transpose();
    }
    theta -= lr * static_cast<double>(taps_ + 1) / static_cast<double>(m) * slope;
  }

  void expect_losses(const Vector<double>& theta, const std::vector<double>& expected, Index channel) {
    std::vector<double> losses(expected.size());
    loss_.values(as_span(theta), losses);
    for (std::size_t g = 0; g < losses.size(); ++g)
      EXPECT_NEAR(losses[g], expected[g], kConvTolerance.loss * (1.0 + expected[g])) << what_ << " channel " << channel << " loss " << g;
  }

  const json& file_;
  std::string what_;
  TestBlock<double> block_;
  Matrix<double> x_;
  GoldenTargets targets_;
  Executor executor_{2};
  Ledger ledger_;
  BlockLoss<double> loss_;
  Index channels_, taps_;
};

TEST(GoldenConvBlock, DirectionalStepsAreTheReferencesWithItsDefectReplayed) {
  for (const char* prefix : {"cnn_cls", "cnn_reg"}) {
    std::size_t sequences = 0;
    for (const auto& path : golden_files("mlp-cnn", prefix)) {
      const json j = read_json(path);
      if (!j.contains("dd_sequences")) continue;
      for (const json& sequence : j.at("dd_sequences")) {
        DefectiveSteps(j, path.filename().string()).run(sequence);
        ++sequences;
      }
    }
    EXPECT_GT(sequences, 0U) << prefix;
  }
}

TEST(GoldenConvBlock, GradientsAndAdamStepsAreTheReferences) {
  for (const char* prefix : {"cnn_cls", "cnn_reg"}) {
    std::size_t files = 0;
    for (const auto& path : golden_files("mlp-cnn", prefix)) {
      const json j = read_json(path);
      if (!j.contains("adam_steps")) continue;
      const std::string what = path.filename().string();
      TestBlock<double> block = local_conv_block(j);
      const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
      const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), is_regression(j));
      const Executor executor(2);
      Ledger ledger(1);
      AdjointBlockLoss<double> loss(block.view(), executor, ledger);
      loss.set_batch({.x = x, .targets = targets.view()});
      Vector<double> g(block.theta.size());
      EXPECT_NEAR(loss.value_and_gradient(as_span(std::as_const(block.theta)), as_span(g)), j.at("expected").at("loss").get<double>(),
                  1e-10);
      const json& e = j.at("expected");
      expect_near(g, concatenated({e.at("grad_conv_weight"), e.at("grad_bn_weight"), e.at("grad_bn_bias")}), 1e-10, 1e-9,
                  what + " gradient");
      const auto adam = make_adam<double>(g.size(), {.epsilon = j.at("config").at("adam_eps").get<double>()});
      for (const json& step : j.at("adam_steps")) {
        loss.value_and_gradient(as_span(std::as_const(block.theta)), as_span(g));
        adam->step(as_span(block.theta), as_span(std::as_const(g)), j.at("config").at("lr").get<double>());
        expect_near(block.theta, concatenated({step.at("conv_weight_after"), step.at("bn_weight_after"), step.at("bn_bias_after")}), 1e-9,
                    1e-9, what + " after Adam");
      }
      ++files;
    }
    EXPECT_GT(files, 0U) << prefix;
  }
}

/// The reference's full directional gradient needs all of a channel's parameters in its block, which its own step misses: coordinate by
/// coordinate, one difference per channel, all channels in the same evaluation.
TEST(GoldenConvBlock, CoordinateDifferencesOfAllChannelsAtOnceReproduceTheGradient) {
  for (const auto& path : golden_files("mlp-cnn", "cnn_")) {
    const json j = read_json(path);
    if (!j.contains("adam_steps") || j.at("inputs").contains("params")) continue;
    const TestBlock<double> block = local_conv_block(j);
    const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
    const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), is_regression(j));
    const Executor executor(1);
    Ledger ledger(1);
    BlockLoss<double> loss(block.view(), executor, ledger);
    loss.set_batch({.x = x, .targets = targets.view()});
    const Index per_channel = block.theta.size() / loss.layout().groups;
    Directional<double> estimator({.directions = per_channel, .eps = 1e-5, .distribution = Distribution::coordinate});
    Vector<double> g(block.theta.size());
    estimator.estimate(loss, as_span(block.theta), RandomStream(1, Stream::direction), executor, as_span(g));
    const json& e = j.at("expected");
    const Vector<double> exact = concatenated({e.at("grad_conv_weight"), e.at("grad_bn_weight"), e.at("grad_bn_bias")});
    expect_near(g, exact, 1e-7 * (1.0 + exact.cwiseAbs().maxCoeff()), 0.0, path.filename().string());
    EXPECT_EQ(ledger.total().training, 2 * per_channel * x.rows() * (is_regression(j) ? loss.layout().groups : 1));
  }
}

/// A whole network on one loss; batch norm is in the parameters and in no unit.
struct GoldenNetwork {
  TestBlock<double> block;
  std::vector<std::string> names;

  explicit GoldenNetwork(const json& file) {
    const json& config = file.at("config");
    const auto list = [&](const char* key, std::size_t i) { return config.at(key).at(i).get<Index>(); };
    Shape shape{list("channels", 0), config.at("height").get<Index>(), config.at("width").get<Index>()};
    const std::size_t convolutions = config.at("kernel").size(), dense = config.at("fc_dim").size();
    for (std::size_t i = 0; i < convolutions; ++i) {
      Layer<double> layer;
      layer.map = std::make_shared<ConvBatchNorm<double>>(ConvOptions{.input = shape,
                                                                      .channels = list("channels", i + 1),
                                                                      .kernel = list("kernel", i),
                                                                      .stride = list("stride", i),
                                                                      .padding = list("padding", i),
                                                                      .epsilon = config.at("bn_eps").get<double>(),
                                                                      .train_batchnorm = false});
      shape = layer.map->output_shape();
      layer.passed_on.push_back(std::make_shared<Activation<double>>(shape, ActivationKind::relu));
      layer.passed_on.push_back(std::make_shared<MaxPool<double>>(shape, list("pool_size", i), list("pool_stride", i)));
      shape = layer.output_shape();
      block.layers.push_back(std::move(layer));
      const std::string name = "layers." + std::to_string(i) + ".";
      names.insert(names.end(), {name + "conv.weight", name + "batch_norm.weight", name + "batch_norm.bias"});
    }
    for (std::size_t i = 0; i < dense; ++i) {
      Layer<double> layer;
      layer.map = std::make_shared<Dense<double>>(shape, list("fc_dim", i));
      shape = layer.map->output_shape();
      if (i + 1 < dense) layer.passed_on.push_back(std::make_shared<Activation<double>>(shape, ActivationKind::relu));
      block.layers.push_back(std::move(layer));
      const std::string name = "layers." + std::to_string(convolutions + i) + ".linear.";
      names.insert(names.end(), {name + "weight", name + "bias"});
    }
    block.head = std::make_shared<LogitsHead<double>>(shape.size(), shape.size());
    block.end_to_end = true;
    block.set_loss(kLogitsCrossEntropy, Reduction::mean);
    block.theta = gather(file.at("inputs").at("params"), Vector<double>());
  }

  /// Parameters in our order; what `values` does not hold comes from `fallback`.
  [[nodiscard]] Vector<double> gather(const json& values, const Vector<double>& fallback) const {
    std::vector<json> parts;
    for (const auto& name : names) parts.push_back(values.contains(name) ? values.at(name) : json(nullptr));
    std::vector<double> all;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!parts[i].is_null()) {
        const auto part = flat(parts[i]);
        all.insert(all.end(), part.begin(), part.end());
      } else {
        const Index size = sizes[i];
        for (Index k = 0; k < size; ++k) all.push_back(fallback[isize(all.size())]);
      }
    }
    return Eigen::Map<Vector<double>>(all.data(), isize(all.size()));
  }
  std::vector<Index> sizes;
  void record_sizes(const json& params) {
    for (const auto& name : names) sizes.push_back(isize(flat(params.at(name)).size()));
  }

  [[nodiscard]] Vector<double> with_norms_of(Vector<double> theta, const Vector<double>& source) const {
    Index at = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i].find("batch_norm") != std::string::npos) theta.segment(at, sizes[i]) = source.segment(at, sizes[i]);
      at += sizes[i];
    }
    return theta;
  }
};

TEST(GoldenConvBlock, EndToEndStepsLeaveBatchNormAloneAndAreTheReferences) {
  const auto files = golden_files("mlp-cnn", "cnn_model_bp");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const std::string what = path.filename().string();
    const json j = read_json(path);
    GoldenNetwork network(j);
    network.record_sizes(j.at("inputs").at("params"));
    const Matrix<double> x = matrix_of(j.at("inputs").at("x"));
    const GoldenTargets targets = golden_targets(j.at("inputs").at("y"), false);
    const Batch<double> batch{.x = x, .targets = targets.view()};
    const Vector<double> start = network.block.theta, none = Vector<double>::Zero(start.size());
    for (const json& step : j.at("dd_steps")) {
      // The reference's vector leaves batch norm out.
      const Matrix<double> raw = unit_rows(matrix_of(step.at("directions_raw")));
      const Vector<double> trained = network.with_norms_of(Vector<double>::Ones(start.size()), none);
      Matrix<double> directions = Matrix<double>::Zero(raw.rows(), start.size());
      for (Index k = 0, next = 0; k < start.size(); ++k)
        if (trained[k] != 0.0) directions.col(k) = raw.col(next++);
      expect_step(network.block, batch,
                  {.directions = directions,
                   .eps = step.at("eps").get<double>(),
                   .lr = step.at("lr").get<double>(),
                   .loss_pos = flat(step.at("loss_pos")),
                   .loss_neg = flat(step.at("loss_neg")),
                   .after = network.gather(step.at("params_after"), start)},
                  what, kConvTolerance);
    }
    const Executor executor(2);
    Ledger ledger(isize(network.block.layers.size()));
    AdjointBlockLoss<double> loss(network.block.view(), executor, ledger);
    loss.set_batch(batch);
    Vector<double> theta = start, g(start.size());
    EXPECT_NEAR(loss.value_and_gradient(as_span(std::as_const(theta)), as_span(g)), j.at("expected").at("loss").get<double>(), 1e-11);
    expect_near(g, network.with_norms_of(network.gather(j.at("expected").at("grads"), none), none), 1e-11, 1e-9, what + " gradient");
    const json& config = j.at("config");
    const auto adam = make_adam<double>(
        g.size(), {.epsilon = config.at("adam_eps").get<double>(), .weight_decay = config.at("weight_decay").get<double>()});
    for (const json& step : j.at("adam_steps")) {
      loss.value_and_gradient(as_span(std::as_const(theta)), as_span(g));
      adam->step(as_span(theta), as_span(std::as_const(g)), config.at("lr").get<double>());
      theta = network.with_norms_of(theta, start);  // weight decay reaches all of a rule's parameters: the trainer puts fixed ones back
      expect_near(theta, network.gather(step.at("params_after"), start), 1e-9, 1e-9, what + " after Adam");
    }
  }
}

}  // namespace
}  // namespace ffzero::test
