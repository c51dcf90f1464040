// Pins one convolutional layer to the reference's numbers: cnn_cls*_{ad,dd} and cnn_reg_{ad,dd}.
// SPDX-License-Identifier: MIT
#include <numeric>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/update/rule.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

using nlohmann::json;
using test::expect_near;
using test::flat;
using test::matrix_of;
using test::vector_of;

constexpr double kAbsolute = 1e-12;
constexpr double kRelative = 1e-10;

/// A layer of a golden file with its batch: conv + batch norm -> projection -> prototypes -> loss.
struct GoldenLayer {
  explicit GoldenLayer(const json& file)
      : inputs(file.at("inputs")),
        config(file.at("config")),
        map(ConvOptions{.input = {size("in_channels"), size("height"), size("width")},
                        .channels = size("out_channels"),
                        .kernel = size("kernel"),
                        .stride = size("stride"),
                        .padding = size("padding"),
                        .epsilon = config.at("bn_eps").get<double>(),
                        .batchnorm = BatchnormMode::batch}),
        projection(map.output_shape(), size("ref_dim"), RandomStream(0, Stream::projection)),
        head(prototypes()),
        regression(config.at("task") == "regression"),
        loss(regression ? make_squared_loss<double>() : make_margin_loss<double>(config.at("margin").get<double>())),
        x(matrix_of(inputs.at("x"))),
        theta(map.parameter_count()) {
    const auto mapping = flat(inputs.at("mapping"));
    EXPECT_EQ(mapping.size(), projection.state().size());
    std::copy(mapping.begin(), mapping.end(), projection.state().begin());
    theta << vector_of(inputs.at("conv_weight")), vector_of(inputs.at("bn_weight")), vector_of(inputs.at("bn_bias"));
    if (regression)
      values = flat(inputs.at("y"));
    else
      labels = test::labels_of(inputs.at("y"));
    targets = {labels, values};
  }

  [[nodiscard]] Index size(const char* key) const { return config.at(key).get<Index>(); }
  [[nodiscard]] Index channels() const { return size("out_channels"); }
  [[nodiscard]] std::vector<Matrix<double>> prototypes() const {
    std::vector<Matrix<double>> refs;
    for (const auto& r : inputs.at("refs")) refs.push_back(matrix_of(r));
    return refs;
  }
  [[nodiscard]] Matrix<double> maps(const Vector<double>& parameters) const {
    Matrix<double> y(x.rows(), map.output_shape().size());
    map.forward(as_span(parameters), x, y);
    return y;
  }
  [[nodiscard]] Matrix<double> projected(const Matrix<double>& y) const {
    Matrix<double> z(y.rows(), projection.output_shape().size());
    projection.forward({}, y, z);
    return z;
  }
  [[nodiscard]] Matrix<double> scores(const Matrix<double>& z) const {
    Matrix<double> s(z.rows(), head.groups() * head.classes());
    head.scores(z, s);
    return s;
  }
  /// One loss a channel (sum over the batch), or the joint one (mean over the batch).
  [[nodiscard]] Vector<double> losses_of_scores(const Matrix<double>& s) const {
    Matrix<double> values_of_samples(s.rows(), loss->joint() ? 1 : channels());
    loss->values(s, head.classes(), targets, values_of_samples);
    Vector<double> sum = values_of_samples.colwise().sum();
    return regression ? Vector<double>(sum / static_cast<double>(s.rows())) : sum;
  }
  [[nodiscard]] Vector<double> losses(const Vector<double>& parameters) const {
    return losses_of_scores(scores(projected(maps(parameters))));
  }
  /// Gradient of the total loss, and the total.
  double gradient(const Vector<double>& parameters, Vector<double>& g) const {
    const Matrix<double> y = maps(parameters), z = projected(y), s = scores(z);
    Matrix<double> gs(s.rows(), s.cols()), gz(z.rows(), z.cols()), gy(y.rows(), y.cols());
    loss->gradient(s, head.classes(), targets, gs);
    if (regression) gs /= static_cast<double>(s.rows());
    head.pullback(z, gs, gz);
    MatrixRef<double> gy_view(gy);
    projection.pullback({}, y, z, gz, {}, &gy_view);
    g.setZero(parameters.size());
    map.pullback(as_span(parameters), x, y, gy, as_span(g), nullptr);
    return losses_of_scores(s).sum();
  }

  json inputs, config;
  ConvBatchNorm<double> map;
  ChannelProjection<double> projection;
  PrototypeHead<double> head;
  bool regression;
  std::unique_ptr<Loss<double>> loss;
  Matrix<double> x;
  Vector<double> theta;
  std::vector<std::int32_t> labels;
  std::vector<double> values;
  Targets targets;
};

std::vector<std::filesystem::path> layer_files(const std::string& ending) {
  auto files = test::golden_files("mlp-cnn", "cnn_");
  std::erase_if(files, [&](const auto& f) { return !f.stem().string().ends_with(ending); });
  EXPECT_FALSE(files.empty());
  return files;
}

/// Predictions as the reference makes them: argmax of the similarities summed over channels, or the mean cosine.
void expect_predictions(const GoldenLayer& layer, const Matrix<double>& scores, const json& expected, const std::string& what) {
  Matrix<double> sum = Matrix<double>::Zero(scores.rows(), layer.head.classes());
  for (Index c = 0; c < layer.channels(); ++c) sum += scores.middleCols(c * layer.head.classes(), layer.head.classes());
  if (layer.regression) {
    expect_near(sum / static_cast<double>(layer.channels()), vector_of(expected), kAbsolute, kRelative, what);
    return;
  }
  const auto labels = test::labels_of(expected);
  for (Index b = 0; b < sum.rows(); ++b) {
    Index best = 0;
    sum.row(b).maxCoeff(&best);
    EXPECT_EQ(best, labels[usize(b)]) << what << " sample " << b;
  }
}

TEST(GoldenConvLayer, ForwardValuesStatisticsAndLossesAreTheReferences) {
  for (const auto& path : layer_files("_dd")) {
    const std::string name = path.filename().string();
    const json file = test::read_json(path);
    GoldenLayer layer(file);
    const json& expected = file.at("expected");
    const Shape maps = layer.map.output_shape();

    // The running statistics over one batch are the batch's own; with unit deviation and weight the map shows the bare convolution.
    layer.map.begin_statistics();
    layer.map.absorb(as_span(layer.theta), layer.x);
    layer.map.finish_statistics();
    const Vector<double> state = as_vector<double>(std::as_const(layer.map).state());
    expect_near(state.head(maps.channels), vector_of(expected.at("batch_mean")), kAbsolute, kRelative, name + " mean");
    expect_near(state.tail(maps.channels), vector_of(expected.at("batch_var_biased")), kAbsolute, kRelative, name + " variance");

    ConvOptions bare_options = layer.map.options();
    bare_options.batchnorm = BatchnormMode::running;
    ConvBatchNorm<double> bare(bare_options);
    as_vector<double>(bare.state()) << Vector<double>::Zero(maps.channels),
        Vector<double>::Constant(maps.channels, 1.0 - bare_options.epsilon);
    Vector<double> kernels = layer.theta;
    kernels.tail(2 * maps.channels) << Vector<double>::Ones(maps.channels), Vector<double>::Zero(maps.channels);
    Matrix<double> conv(layer.x.rows(), maps.size());
    bare.infer(as_span(kernels), layer.x, conv);
    expect_near(conv, matrix_of(expected.at("conv_out")), kAbsolute, kRelative, name + " conv_out");

    const Matrix<double> y = layer.maps(layer.theta);
    expect_near(y, matrix_of(expected.at("forward_ff")), kAbsolute, kRelative, name + " forward_ff");
    const Activation<double> relu(maps, ActivationKind::relu);
    const MaxPool<double> pool(maps, layer.size("pool_size"), layer.size("pool_size") == 0 ? 1 : layer.size("pool_stride"));
    Matrix<double> active(y.rows(), y.cols()), pooled(y.rows(), pool.output_shape().size());
    relu.forward({}, y, active);
    pool.forward({}, active, pooled);
    expect_near(pooled, matrix_of(expected.at("forward_bp")), kAbsolute, kRelative, name + " forward_bp");

    const Matrix<double> z = layer.projected(y), s = layer.scores(z);
    const Index d = layer.projection.size(), classes = layer.head.classes();
    for (Index c = 0; c < maps.channels; ++c) {
      expect_near(z.middleCols(c * d, d), matrix_of(expected.at("z_mapping").at(usize(c))), kAbsolute, kRelative, name + " z_mapping");
      expect_near(s.middleCols(c * classes, classes), matrix_of(expected.at("similarity").at(usize(c))), kAbsolute, kRelative,
                  name + " similarity");
    }
    expect_near(layer.losses(layer.theta), vector_of(json(flat(expected.at("loss")))), kAbsolute, kRelative, name + " loss");
    const json& forward_pass = expected.at("forward_pass");
    EXPECT_NEAR(layer.losses(layer.theta).sum(), forward_pass.at("loss").get<double>(), 1e-10) << name;
    expect_predictions(layer, s, forward_pass.at("y_pred"), name + " y_pred");
  }
}

/// Replays one step of the reference, defect included (README of the golden files): channel after channel, the last entry of a direction
/// is read from the batch-norm weight and written to the batch-norm bias.
class ReferenceStep {
 public:
  ReferenceStep(const GoldenLayer& layer, const json& step, double eps, double rate, Vector<double>& theta)
      : layer_(layer), step_(step), eps_(eps), rate_(rate), theta_(theta), taps_(theta.size() / layer.channels() - 2) {}

  void run(const std::string& what) {
    expect_near(layer_.losses(theta_), vector_of(step_.at("original_loss")), kAbsolute, kRelative, what + " original_loss");
    const auto raw = flat(step_.at("directions_raw"));
    const Index size = taps_ + 1, count = step_.at("directions_raw").at("shape").at(1).get<Index>();
    for (Index c = 0; c < layer_.channels(); ++c) {
      Vector<double> slope = Vector<double>::Zero(size);
      for (Index j = 0; j < count; ++j) {
        Vector<double> direction = Eigen::Map<const Vector<double>>(raw.data() + (c * count + j) * size, size);
        direction.normalize();
        const Vector<double> up = layer_.losses(moved(c, eps_ * direction)), down = layer_.losses(moved(c, -eps_ * direction));
        const std::string where = what + " channel " + std::to_string(c);
        expect_near(up, vector_of(step_.at("loss_pos").at(usize(c)).at(usize(j))), kAbsolute, kRelative, where + " loss_pos");
        expect_near(down, vector_of(step_.at("loss_neg").at(usize(c)).at(usize(j))), kAbsolute, kRelative, where + " loss_neg");
        const Index own = layer_.regression ? 0 : c;
        slope += (up[own] - down[own]) / (2.0 * eps_) * direction;
      }
      theta_ = moved(c, -rate_ * static_cast<double>(size) / static_cast<double>(count) * slope);
    }
    Vector<double> after(theta_.size());
    after << vector_of(step_.at("conv_weight_after")), vector_of(step_.at("bn_weight_after")), vector_of(step_.at("bn_bias_after"));
    expect_near(theta_, after, 1e-9, 1e-8, what + " parameters");
    theta_ = after;
  }

 private:
  [[nodiscard]] Vector<double> moved(Index channel, const Vector<double>& move) const {
    Vector<double> theta = theta_;
    const Index weight = layer_.channels() * taps_ + channel;
    theta.segment(channel * taps_, taps_) += move.head(taps_);
    theta[weight + layer_.channels()] = theta_[weight] + move[taps_];
    return theta;
  }

  const GoldenLayer& layer_;
  const json& step_;
  double eps_, rate_;
  Vector<double>& theta_;
  Index taps_;
};

TEST(GoldenConvLayer, PerturbedLossesAndStepsAreTheReferencesWithItsDefectReplayed) {
  for (const auto& path : layer_files("_dd")) {
    const json file = test::read_json(path);
    const GoldenLayer layer(file);
    for (const json& sequence : file.at("dd_sequences")) {
      Vector<double> theta = layer.theta;
      for (const json& step : sequence.at("steps"))
        ReferenceStep(layer, step, sequence.at("eps").get<double>(), sequence.at("lr").get<double>(), theta).run(path.filename().string());
    }
  }
}

TEST(GoldenConvLayer, PairedPathGivesTheLossesOfBothSides) {
  for (const auto& path : layer_files("_dd")) {
    const json file = test::read_json(path);
    const GoldenLayer layer(file);
    Matrix<double> directions(2, layer.map.parameter_count());
    RandomStream(1, Stream::test).fill_normal({directions.data(), usize(directions.size())});
    const double eps = 1e-3;
    layer.map.forward_pairs(
        as_span(layer.theta), directions, eps, layer.x, &layer.projection,
        [&](Index j, const ConstMatrixRef<double>& plus, const ConstMatrixRef<double>& minus) {
          const Vector<double> step = eps * directions.row(j).transpose();
          expect_near(layer.losses_of_scores(layer.scores(plus)), layer.losses(layer.theta + step), 1e-11, 1e-10, "plus");
          expect_near(layer.losses_of_scores(layer.scores(minus)), layer.losses(layer.theta - step), 1e-11, 1e-10, "minus");
        });
  }
}

TEST(GoldenConvLayer, GradientsAndAdamStepsAreTheReferences) {
  for (const auto& path : layer_files("_ad")) {
    const std::string name = path.filename().string();
    const json file = test::read_json(path);
    const GoldenLayer layer(file);
    const json& expected = file.at("expected");
    Vector<double> theta = layer.theta, g;
    EXPECT_NEAR(layer.gradient(theta, g), expected.at("loss").get<double>(), 1e-10) << name;
    Vector<double> gradient(g.size());
    gradient << vector_of(expected.at("grad_conv_weight")), vector_of(expected.at("grad_bn_weight")),
        vector_of(expected.at("grad_bn_bias"));
    expect_near(g, gradient, 1e-10, 1e-9, name + " gradient");

    const auto adam = make_adam<double>(theta.size(), {.epsilon = layer.config.at("adam_eps").get<double>()});
    for (const json& step : file.at("adam_steps")) {
      EXPECT_NEAR(layer.gradient(theta, g), step.at("loss_before_step").get<double>(), 1e-8) << name;
      adam->step(as_span(theta), as_span(std::as_const(g)), layer.config.at("lr").get<double>());
      Vector<double> after(theta.size());
      after << vector_of(step.at("conv_weight_after")), vector_of(step.at("bn_weight_after")), vector_of(step.at("bn_bias_after"));
      expect_near(theta, after, 1e-9, 1e-9, name + " after a step of Adam");
    }
  }
}

TEST(GoldenConvLayer, DirectionalDifferencesAlongEveryCoordinateReproduceTheGradient) {
  for (const auto& path : layer_files("_ad")) {
    const json file = test::read_json(path);
    const GoldenLayer layer(file);
    const Index count = layer.map.parameter_count();
    const double eps = 1e-5;
    Vector<double> differences(count), g;
    const Matrix<double> directions = Matrix<double>::Identity(count, count);
    layer.map.forward_pairs(as_span(layer.theta), directions, eps, layer.x, &layer.projection,
                            [&](Index j, const ConstMatrixRef<double>& plus, const ConstMatrixRef<double>& minus) {
                              differences[j] =
                                  (layer.losses_of_scores(layer.scores(plus)).sum() - layer.losses_of_scores(layer.scores(minus)).sum()) /
                                  (2.0 * eps);
                            });
    layer.gradient(layer.theta, g);
    expect_near(differences, g, 1e-7 * (1.0 + g.cwiseAbs().maxCoeff()), 0.0, path.filename().string());
  }
}

}  // namespace
}  // namespace ffzero
