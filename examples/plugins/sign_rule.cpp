// A rule of one's own as a plugin: ffzero train --plugin sign_rule.so --set update.rule=sign_of_gradient. docs/plugins.md says how.
// SPDX-License-Identifier: MIT
#include <ffzero/settings/plugin.hpp>
#include <memory>
#include <span>

namespace {

// theta -= lr scale sign(g)
class SignOfGradient final : public ffzero::UpdateRule<float> {
 public:
  explicit SignOfGradient(double scale) : scale_(scale) {}
  [[nodiscard]] std::string name() const override { return "sign_of_gradient"; }
  [[nodiscard]] std::span<float> state() noexcept override { return {}; }
  [[nodiscard]] std::span<const float> state() const noexcept override { return {}; }

 protected:
  void begin_step(double lr) override { length_ = static_cast<float>(lr * scale_); }
  void move(ffzero::Index /*first*/, std::span<float> theta, std::span<const float> gradient) override {
    for (std::size_t i = 0; i < theta.size(); ++i) theta[i] -= gradient[i] > 0.0F ? length_ : gradient[i] < 0.0F ? -length_ : 0.0F;
  }

 private:
  double scale_;
  float length_ = 0.0F;
};

}  // namespace

FFZERO_PLUGIN(registries) {
  registries.update_rules.add(
      {.name = "sign_of_gradient",
       .doc = "Every parameter by the same length, against the sign of its slope.",
       .numbers = {{"scale", 1.0}},
       .make = [](const ffzero::NamedNumbers& n, ffzero::Index) { return std::make_unique<SignOfGradient>(n.at("scale")); }});
}
