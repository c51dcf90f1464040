// A rule, a loss, an estimator and a map of one's own, registered by name and compared with those that are built in.
// docs/extending.md walks through it.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdio>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>
#include <vector>

namespace {

using ffzero::Index;
using ffzero::NamedNumbers;

// Rule: theta -= lr sign(beta m + (1 - beta) g), m a running mean of gradients.
class SignOfMean final : public ffzero::UpdateRule<float> {
 public:
  SignOfMean(double beta, Index parameters) : beta_(static_cast<float>(beta)), mean_(static_cast<std::size_t>(parameters), 0.0F) {}
  [[nodiscard]] std::string name() const override { return "sign_of_mean"; }
  [[nodiscard]] std::span<float> state() noexcept override { return mean_; }
  [[nodiscard]] std::span<const float> state() const noexcept override { return mean_; }

 protected:
  void begin_step(double lr) override { lr_ = static_cast<float>(lr); }
  void move(Index first, std::span<float> theta, std::span<const float> gradient) override {
    for (std::size_t i = 0; i < theta.size(); ++i) {
      float& mean = mean_[static_cast<std::size_t>(first) + i];
      mean = beta_ * mean + (1.0F - beta_) * gradient[i];
      theta[i] -= mean > 0.0F ? lr_ : mean < 0.0F ? -lr_ : 0.0F;
    }
  }
  [[nodiscard]] std::size_t expected_size(std::size_t /*given*/) const override { return mean_.size(); }

 private:
  float beta_, lr_ = 0.0F;
  std::vector<float> mean_;
};

// Loss: -(1 - p)^gamma log p, p the softmax of the true class: samples that are learnt already count less.
class Focal final : public ffzero::Loss<double> {
 public:
  Focal(double gamma, double temperature) : gamma_(gamma), temperature_(temperature) {}
  [[nodiscard]] std::string name() const override { return "focal"; }
  [[nodiscard]] bool joint() const override { return false; }
  void values(const ffzero::ConstMatrixRef<double>& scores, Index classes, const ffzero::Targets& targets,
              ffzero::MatrixRef<double> losses) const override {
    for (Index i = 0; i < scores.rows(); ++i)
      for (Index g = 0; g < losses.cols(); ++g) {
        const double p = softmax(scores, classes, i, g)(targets.labels[static_cast<std::size_t>(i)]);
        losses(i, g) = -std::pow(1.0 - p, gamma_) * std::log(p);
      }
  }
  void gradient(const ffzero::ConstMatrixRef<double>& scores, Index classes, const ffzero::Targets& targets,
                ffzero::MatrixRef<double> gs) const override {
    for (Index i = 0; i < scores.rows(); ++i)
      for (Index g = 0; g < scores.cols() / classes; ++g) {
        const Eigen::ArrayXd all = softmax(scores, classes, i, g);
        const Index label = targets.labels[static_cast<std::size_t>(i)];
        const double p = all(label), rest = 1.0 - p;
        const double slope = gamma_ * std::pow(rest, gamma_ - 1.0) * std::log(p) - std::pow(rest, gamma_) / p;
        for (Index k = 0; k < classes; ++k) gs(i, g * classes + k) = slope * p * ((k == label ? 1.0 : 0.0) - all(k)) / temperature_;
      }
  }

 private:
  // Kept away from 0 and 1, where the logarithm and the power have no slope.
  [[nodiscard]] Eigen::ArrayXd softmax(const ffzero::ConstMatrixRef<double>& scores, Index classes, Index row, Index group) const {
    Eigen::ArrayXd s = scores.row(row).segment(group * classes, classes).transpose().array() / temperature_;
    s = (s - s.maxCoeff()).exp();
    return (s / s.sum()).max(1e-12).min(1.0 - 1e-12);
  }
  double gamma_, temperature_;
};

// Estimator: one reading at the parameters, and one a little along each of m random unit directions.
class OneSided final : public ffzero::StepGradient<float> {
 public:
  OneSided(const NamedNumbers& numbers, const ffzero::Block<float>& block, const ffzero::Executor& executor, ffzero::Ledger& ledger)
      : loss_(block, executor, ledger), directions_(static_cast<Index>(numbers.at("directions"))), eps_(numbers.at("eps")) {}
  double estimate(const ffzero::Batch<float>& batch, std::span<const float> theta, const ffzero::RandomStream& random,
                  std::span<float> gradient) override {
    loss_.set_batch(batch);
    const double here = ffzero::total_loss<float>(loss_, theta);
    const auto size = static_cast<Index>(theta.size());
    ffzero::Vector<float> moved(size), direction(size), sum = ffzero::Vector<float>::Zero(size);
    for (Index j = 0; j < directions_; ++j) {
      random.fill_normal({direction.data(), theta.size()}, j * size);
      direction.normalize();
      moved = Eigen::Map<const ffzero::Vector<float>>(theta.data(), size) + static_cast<float>(eps_) * direction;
      const double slope = (ffzero::total_loss<float>(loss_, {moved.data(), theta.size()}) - here) / eps_;
      sum += static_cast<float>(slope * static_cast<double>(size) / static_cast<double>(directions_)) * direction;
    }
    std::copy_n(sum.data(), size, gradient.data());
    return here;
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return 1 + directions_; }
  [[nodiscard]] ffzero::Information information() const override { return ffzero::Information::opaque; }
  [[nodiscard]] ffzero::BlockLoss<float>& loss() override { return loss_; }

 private:
  ffzero::BlockLoss<float> loss_;
  Index directions_;
  double eps_;
};

// Map: y = tanh(x W) W', a layer through a narrow waist of `waist` units.
class Waist final : public ffzero::ForwardMap<float> {
 public:
  Waist(const ffzero::Shape& input, Index outputs, Index waist) : input_(input), outputs_(outputs), waist_(waist) {}
  [[nodiscard]] ffzero::Shape input_shape() const override { return input_; }
  [[nodiscard]] ffzero::Shape output_shape() const override { return {.width = outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return waist_ * (input_.size() + outputs_); }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "waist"; }
  void forward(std::span<const float> theta, const ffzero::ConstMatrixRef<float>& x, ffzero::MatrixRef<float> y) const override {
    const Eigen::Map<const ffzero::Matrix<float>> in(theta.data(), input_.size(), waist_);
    const Eigen::Map<const ffzero::Matrix<float>> out(theta.data() + in.size(), waist_, outputs_);
    const ffzero::Matrix<float> narrow = (x * in).array().tanh();
    y.noalias() = narrow * out;
  }

 private:
  ffzero::Shape input_;
  Index outputs_, waist_;
};

void register_all() {
  ffzero::update_rules().add(
      {.name = "sign_of_mean",
       .doc = "Along the sign of a running mean of gradients.",
       .numbers = {{"beta", 0.9}},
       .make = [](const NamedNumbers& n, Index count) { return std::make_unique<SignOfMean>(n.at("beta"), count); }});
  ffzero::losses().add({.name = "focal",
                        .doc = "Cross-entropy that counts what is learnt already less.",
                        .numbers = {{"gamma", 2.0}, {"temperature", 0.05}},
                        .make = [](const NamedNumbers& n, Index) { return std::make_unique<Focal>(n.at("gamma"), n.at("temperature")); }});
  ffzero::estimators().add({.name = "one_sided",
                            .doc = "Slopes from one reading at the parameters and one along each direction.",
                            .numbers = {{"directions", 4}, {"eps", 1e-2}},
                            .make = [](const NamedNumbers& n, const ffzero::Block<float>& block, const ffzero::Executor& executor,
                                       ffzero::Ledger& ledger) { return std::make_unique<OneSided>(n, block, executor, ledger); }});
  ffzero::layer_maps().add({.name = "waist",
                            .doc = "Through few units.",
                            .numbers = {{"units", 24}},
                            .make = [](const NamedNumbers& n, const ffzero::Shape& input, Index outputs) {
                              return std::make_shared<Waist>(input, outputs, static_cast<Index>(n.at("units")));
                            }});
}

// A configuration as a file or the command line would give it: a name that was registered stands where a built-in one may.
double accuracy_of(const char* what, const std::vector<std::pair<std::string, std::string>>& settings) {
  ffzero::ConfigSources sources;
  sources.overrides = {{"model.layers", "[64]"},
                       {"dataset.downsample", "7"},
                       {"training.epochs", "20"},
                       {"training.batch_size", "16"},
                       {"seed", "1"},
                       {"training.log_test", "false"},
                       {"gradient.estimator", "directional"},
                       {"update.rule", "adam"}};
  for (const auto& setting : settings) sources.overrides.push_back(setting);
  const ffzero::Splits splits = ffzero::make_glyphs(1, 2000, 500);
  ffzero::Config config = ffzero::Config::parse("", "own_parts", sources);
  config.resolve(ffzero::data_facts(splits));
  auto trainer = ffzero::make_trainer<float>(config, splits, std::make_shared<const ffzero::Executor>(2));
  const ffzero::RunRecord record = trainer.run();
  std::printf("%-34s test accuracy %.3f, %lld thousand forward evaluations\n", what, record.final_test.value,
              static_cast<long long>(record.ledger.total().training / 1000));
  return record.final_test.value;
}

int compare() {
  register_all();
  const double built_in = accuracy_of("built in", {{"gradient.directions", "4"}});
  double worst = built_in;
  const auto also = [&](const char* what, const std::vector<std::pair<std::string, std::string>>& settings) {
    worst = std::min(worst, accuracy_of(what, settings));
  };
  also("rule sign_of_mean, beta = 0.95",
       {{"gradient.directions", "4"}, {"update.rule", "sign_of_mean"}, {"update.options", "beta = 0.95"}, {"update.lr", "1e-3"}});
  also("loss focal", {{"gradient.directions", "4"}, {"objective.loss", "focal"}});
  also("estimator one_sided", {{"gradient.estimator", "one_sided"}, {"gradient.options", "directions = 7"}});
  also("map waist", {{"gradient.directions", "4"}, {"model.map", "waist"}});
  return worst > 0.5 ? 0 : 1;  // five times what guessing gives
}

}  // namespace

int main() {
  try {
    return compare();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
