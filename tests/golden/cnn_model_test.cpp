// Pins a whole convolutional network, end to end, to the reference's numbers: cnn_model_bp*.
// SPDX-License-Identifier: MIT
#include <memory>

#include "ffzero/loss/loss.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/update/rule.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

using nlohmann::json;
using test::expect_near;
using test::vector_of;

/// The network of a golden file as a chain of maps, each with its slice of one parameter vector.
class GoldenModel {
 public:
  explicit GoldenModel(const json& file)
      : x_(test::matrix_of(file.at("inputs").at("x"))), labels_(test::labels_of(file.at("inputs").at("y"))) {
    const json& config = file.at("config");
    const auto list = [&](const char* key, std::size_t i) { return config.at(key).at(i).get<Index>(); };
    Shape shape{list("channels", 0), config.at("height").get<Index>(), config.at("width").get<Index>()};
    const std::size_t convolutions = config.at("kernel").size(), dense = config.at("fc_dim").size();
    for (std::size_t i = 0; i < convolutions; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      shape = add(std::make_unique<ConvBatchNorm<double>>(ConvOptions{.input = shape,
                                                                      .channels = list("channels", i + 1),
                                                                      .kernel = list("kernel", i),
                                                                      .stride = list("stride", i),
                                                                      .padding = list("padding", i),
                                                                      .epsilon = config.at("bn_eps").get<double>()}),
                  {name + "conv.weight", name + "batch_norm.weight", name + "batch_norm.bias"});
      shape = add(std::make_unique<Activation<double>>(shape, ActivationKind::relu), {});
      shape = add(std::make_unique<MaxPool<double>>(shape, list("pool_size", i), list("pool_stride", i)), {});
    }
    for (std::size_t i = 0; i < dense; ++i) {
      const std::string name = "layers." + std::to_string(convolutions + i) + ".linear.";
      shape = add(std::make_unique<Dense<double>>(shape, list("fc_dim", i)), {name + "weight", name + "bias"});
      if (i + 1 < dense) shape = add(std::make_unique<Activation<double>>(shape, ActivationKind::relu), {});
    }
  }

  [[nodiscard]] Vector<double> gather(const json& values) const {
    std::vector<double> theta;
    for (const auto& name : names_) {
      const auto part = test::flat(values.at(name));
      theta.insert(theta.end(), part.begin(), part.end());
    }
    return Eigen::Map<Vector<double>>(theta.data(), isize(theta.size()));
  }

  /// Takes from `values` what it holds; the rest stays.
  void overwrite(const json& values, Vector<double>& theta) const {
    Index at = 0;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (values.contains(names_[i])) theta.segment(at, sizes_[i]) = vector_of(values.at(names_[i]));
      at += sizes_[i];
    }
  }

  /// Clears what the reference does not train end to end: batch norm.
  void clear_batch_norm(Vector<double>& theta) const {
    Index at = 0;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i].find("batch_norm") != std::string::npos) theta.segment(at, sizes_[i]).setZero();
      at += sizes_[i];
    }
  }

  void record_sizes(const json& values) {
    for (const auto& name : names_) sizes_.push_back(isize(test::flat(values.at(name)).size()));
  }

  const Matrix<double>& forward(const Vector<double>& theta) {
    outputs_.clear();
    Index at = 0;
    for (const auto& map : maps_) {
      const Matrix<double>& in = outputs_.empty() ? x_ : outputs_.back();
      Matrix<double> out(in.rows(), map->output_shape().size());
      map->forward(slice(theta, at, *map), in, out);
      at += map->parameter_count();
      outputs_.push_back(std::move(out));
    }
    return outputs_.back();
  }

  double loss(const Vector<double>& theta) {
    const Matrix<double>& logits = forward(theta);
    Matrix<double> losses(logits.rows(), 1);
    cross_entropy_->values(logits, logits.cols(), {labels_, {}}, losses);
    return losses.mean();
  }

  double gradient(const Vector<double>& theta, Vector<double>& g) {
    const double value = loss(theta);
    g.setZero(theta.size());
    Matrix<double> gy(x_.rows(), outputs_.back().cols());
    cross_entropy_->gradient(outputs_.back(), gy.cols(), {labels_, {}}, gy);
    gy /= static_cast<double>(x_.rows());
    Index at = theta.size();
    for (std::size_t i = maps_.size(); i-- > 0;) {
      const AdjointMap<double>& map = *maps_[i];
      const Matrix<double>& in = i == 0 ? x_ : outputs_[i - 1];
      at -= map.parameter_count();
      Matrix<double> gx(in.rows(), in.cols());
      MatrixRef<double> gx_view(gx);
      map.pullback(slice(theta, at, map), in, outputs_[i], gy, std::span(g.data() + at, usize(map.parameter_count())), &gx_view);
      gy = gx;
    }
    return value;
  }

 private:
  Shape add(std::unique_ptr<AdjointMap<double>> map, const std::vector<std::string>& names) {
    names_.insert(names_.end(), names.begin(), names.end());
    maps_.push_back(std::move(map));
    return maps_.back()->output_shape();
  }
  static std::span<const double> slice(const Vector<double>& theta, Index at, const ForwardMap<double>& map) {
    return {theta.data() + at, usize(map.parameter_count())};
  }

  Matrix<double> x_;
  std::vector<std::int32_t> labels_;
  std::vector<std::unique_ptr<AdjointMap<double>>> maps_;
  std::vector<std::string> names_;
  std::vector<Index> sizes_;
  std::vector<Matrix<double>> outputs_;
  std::unique_ptr<Loss<double>> cross_entropy_ = make_cross_entropy_loss<double>();
};

TEST(GoldenConvModel, LogitsGradientsAdamAndDirectionalStepsAreTheReferences) {
  const auto files = test::golden_files("mlp-cnn", "cnn_model_bp");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const std::string name = path.filename().string();
    const json file = test::read_json(path);
    const json &config = file.at("config"), &expected = file.at("expected"), &params = file.at("inputs").at("params");
    GoldenModel model(file);
    model.record_sizes(params);
    const Vector<double> start = model.gather(params);
    expect_near(model.forward(start), test::matrix_of(expected.at("logits")), 1e-12, 1e-10, name + " logits");
    Vector<double> g;
    EXPECT_NEAR(model.gradient(start, g), expected.at("loss").get<double>(), 1e-12) << name;
    expect_near(g, model.gather(expected.at("grads")), 1e-12, 1e-9, name + " gradients");

    Vector<double> theta = start;
    const auto adam = make_adam<double>(theta.size(), {.epsilon = config.at("adam_eps").get<double>()});
    for (const json& step : file.at("adam_steps")) {
      EXPECT_NEAR(model.gradient(theta, g), step.at("loss_before_step").get<double>(), 1e-10) << name;
      g += config.at("weight_decay").get<double>() * theta;
      model.clear_batch_norm(g);
      adam->step(as_span(theta), as_span(std::as_const(g)), config.at("lr").get<double>());
      Vector<double> after = theta;
      model.overwrite(step.at("params_after"), after);
      expect_near(theta, after, 1e-9, 1e-9, name + " after a step of Adam");
    }
    for (const json& step : file.at("dd_steps")) {
      const Matrix<double> raw = test::matrix_of(step.at("directions_raw"));
      const double eps = step.at("eps").get<double>();
      for (Index j = 0; j < raw.rows(); ++j) {
        // The reference's vector leaves batch norm out; a mask finds the places of the others.
        Vector<double> trained = Vector<double>::Ones(start.size()), direction = Vector<double>::Zero(start.size());
        model.clear_batch_norm(trained);
        Index next = 0;
        for (Index i = 0; i < start.size(); ++i)
          if (trained[i] != 0.0) direction[i] = raw(j, next++);
        ASSERT_EQ(next, raw.cols());
        direction.normalize();
        EXPECT_NEAR(model.loss(start + eps * direction), step.at("loss_pos").at(usize(j)).get<double>(), 1e-11) << name;
        EXPECT_NEAR(model.loss(start - eps * direction), step.at("loss_neg").at(usize(j)).get<double>(), 1e-11) << name;
      }
    }
  }
}

}  // namespace
}  // namespace ffzero
