// Chips in files.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

#include "ffzero/base/error.hpp"
#include "ffzero/map/mesh/chip.hpp"

namespace ffzero {

namespace {

std::string words_of(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

std::string number_word(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

class ChipReader {
 public:
  ChipReader(const NpzArchive& arrays, const MeshLayout& layout, std::string place)
      : arrays_(arrays), layout_(layout), place_(std::move(place)) {}

  /// An array (columns, floor(n/2)) as a block; nothing if the file has none of that name.
  /// dead: of entries that drive nothing.
  [[nodiscard]] std::optional<Vector<double>> block(const std::string& name, bool may_be_nan = false, double dead = 0.0) const {
    const auto values = array(name, {layout_.columns(), layout_.ports() / 2}, may_be_nan);
    if (!values) return std::nullopt;
    Vector<double> result = Vector<double>::Constant(layout_.block_size(), dead);
    for (Index l = 0; l < layout_.columns(); ++l)
      for (Index k = 0; k < layout_.pairs(l); ++k) result[layout_.offset(l) + k] = (*values)[usize(l * (layout_.ports() / 2) + k)];
    return result;
  }
  [[nodiscard]] std::optional<std::vector<double>> array(const std::string& name, const std::vector<Index>& shape,
                                                         bool may_be_nan = false) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) return std::nullopt;
    if (found->second.shape != shape)
      throw DataError(place_, "array " + name + " must have shape " + words_of(shape), words_of(found->second.shape),
                      "the chip is of another size: check dataset.crop");
    std::vector<double> values = found->second.to<double>();
    for (const double v : values)
      if (!std::isfinite(v) && !(may_be_nan && std::isnan(v))) throw DataError(place_, "array " + name + " must be finite", number_word(v));
    return values;
  }
  [[nodiscard]] Vector<double> required(const std::string& name) const {
    auto values = block(name);
    if (!values)
      throw DataError(place_, "needs an array " + name + " of shape " + words_of({layout_.columns(), layout_.ports() / 2}), "no such array",
                      "see model.mesh.chip.coupler, .phase and .number");
    return std::move(*values);
  }
  /// Angles beyond pi/4 of couplers with these e.
  [[nodiscard]] Vector<double> couplers(const std::string& name, const Vector<double>& e) const {
    if (!(e.cwiseAbs().maxCoeff() < 1.0))
      throw DataError(place_, "array " + name + " must lie in -1 .. 1", number_word(e.cwiseAbs().maxCoeff()));
    return -0.5 * e.array().asin();
  }

 private:
  const NpzArchive& arrays_;
  const MeshLayout& layout_;
  std::string place_;
};

}  // namespace

Chip read_chip(const std::filesystem::path& path, const MeshLayout& layout, const ChipOptions& options, std::uint32_t number) {
  const NpzArchive arrays = read_npz(path);
  const ChipReader reader(arrays, layout, path.string());
  const ErrorLayout at(layout);
  const bool several = std::any_of(arrays.begin(), arrays.end(),
                                   [](const auto& a) { return a.first.starts_with("coupler_") || a.first.starts_with("phase_"); });
  // The laws of what is drawn: what the file says is not drawn.
  ChipOptions laws = options;
  laws.coupler = laws.phase = 0.0;
  Chip chip = draw_chip(layout, laws, number);
  const auto put = [&](Index begin, const Vector<double>& values) { chip.errors.segment(begin, values.size()) = values; };
  const auto prefix = [&](const char* kind, double law) {
    return kind + ("_" + number_word(law)) + ".chip" + std::to_string(number) + ".";
  };
  if (!several || options.coupler > 0.0) {
    const std::string names = several ? prefix("coupler", options.coupler) : "";
    put(at.left(), reader.couplers(names + "e_l", reader.required(names + "e_l")));
    put(at.right(), reader.couplers(names + "e_r", reader.required(names + "e_r")));
  }
  if (!several || options.phase > 0.0) {
    const std::string names = several ? prefix("phase", options.phase) : "";
    put(at.theta_offset(), reader.required(names + "theta_errors"));
    put(at.phi_offset(), reader.required(names + "phi_errors"));
  }
  const auto excess = [](const Vector<double>& gains) { return Vector<double>(gains.array() - 1.0); };
  if (const auto values = reader.block("theta_gain")) put(at.theta_gain(), excess(*values));
  if (const auto values = reader.block("phi_gain")) put(at.phi_gain(), excess(*values));
  if (const auto values = reader.block("theta_stuck", true)) chip.stuck.head(at.block) = *values;
  if (const auto values = reader.block("phi_stuck", true)) chip.stuck.tail(at.block) = *values;
  if (const auto values = reader.block("amplitude", false, 1.0)) {
    // Light is run backwards too: some must be left.
    if (!(values->minCoeff() >= 1e-6 && values->maxCoeff() <= 1.0))
      throw DataError(path.string(), "array amplitude must lie in 1e-06 .. 1",
                      number_word(values->minCoeff()) + " .. " + number_word(values->maxCoeff()));
    chip.amplitude = *values;
  }
  if (const auto values = reader.array("crosstalk", {1})) chip.errors[at.crosstalk()] = values->front();
  if (const auto values = reader.array("detector_gain", {layout.ports()}))
    put(at.detectors(), excess(as_vector(std::span<const double>(*values))));
  return chip;
}

NpyArray block_array(const MeshLayout& layout, std::span<const double> block) {
  const Index width = layout.ports() / 2;
  std::vector<double> values(usize(layout.columns() * width), 0.0);
  for (Index l = 0; l < layout.columns(); ++l)
    for (Index k = 0; k < layout.pairs(l); ++k) values[usize(l * width + k)] = block[usize(layout.offset(l) + k)];
  return NpyArray::of<double>(std::span<const double>(values), {layout.columns(), width});
}

NpzArchive chip_arrays(const Chip& chip, const MeshLayout& layout) {
  const ErrorLayout at(layout);
  NpzArchive arrays;
  const auto add = [&](const char* name, const Vector<double>& block) {
    arrays[name] = block_array(layout, {block.data(), usize(block.size())});
  };
  const auto part = [&](Index begin) { return chip.errors.segment(begin, at.block); };
  const auto e_of = [](const auto& angles) { return Vector<double>(-(2.0 * angles.array()).sin()); };
  add("e_l", e_of(part(at.left())));
  add("e_r", e_of(part(at.right())));
  add("theta_errors", part(at.theta_offset()));
  add("phi_errors", part(at.phi_offset()));
  add("theta_gain", Vector<double>(part(at.theta_gain()).array() + 1.0));
  add("phi_gain", Vector<double>(part(at.phi_gain()).array() + 1.0));
  add("theta_stuck", chip.stuck.head(at.block));
  add("phi_stuck", chip.stuck.tail(at.block));
  add("amplitude", chip.amplitude);
  const double crosstalk = chip.errors[at.crosstalk()];
  arrays["crosstalk"] = NpyArray::of<double>(std::span<const double>(&crosstalk, 1), {1});
  const Vector<double> detectors = chip.errors.segment(at.detectors(), at.ports).array() + 1.0;
  arrays["detector_gain"] = NpyArray::of<double>(as_span(detectors), {at.ports});
  return arrays;
}

}  // namespace ffzero
