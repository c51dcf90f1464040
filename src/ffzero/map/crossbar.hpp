// A dense layer on an analog crossbar: converters, bounds, noise of its outputs, cells of phase-change memory.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ffzero/base/registry.hpp"
#include "ffzero/map/addressed.hpp"
#include "ffzero/map/dense_layout.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/many_readings.hpp"
#include "ffzero/map/repeated_readings.hpp"
#include "ffzero/tensor/packed.hpp"

namespace ffzero {

/// What a crossbar is like  [docs/notation.md, Crossbars]. Weights are shares of weight_range, inputs shares of the largest input of their
/// sample (with noise management), outputs sums of products of both.
struct CrossbarOptions {
  std::uint64_t seed = 0;       ///< of all that is drawn
  double weight_range = 0.0;    ///< weight of a cell at its largest conductance; 0: the largest weight that is set
  Index weight_bits = 0;        ///< weights have 2^bits - 2 steps from -weight_range to weight_range, 0 among them; 0: no steps
  Index input_bits = 7;         ///< inputs have 2^bits - 2 steps from -input_bound to input_bound; 0: no steps
  double input_bound = 1.0;     ///< largest input, > 0
  Index noise_management = 1;   ///< 1: inputs are divided by the largest of their sample, and outputs multiplied by it; 0: they are not
  double output_noise = 0.06;   ///< standard deviation of an output
  Index output_bits = 9;        ///< outputs have 2^bits - 2 steps from -output_bound to output_bound; 0: no steps
  double output_bound = 12.0;   ///< largest output, > 0
  Index bound_management = 10;  ///< a sample with an output at its bound is read again with half the inputs, at most so often
  double programming = 0.0;     ///< noise of programming, in that of phase-change memory
  double read = 0.0;            ///< noise of a cell in a reading, likewise
  double drift = 0.0;           ///< exponent of the drift of a cell, likewise
  double seconds = 1.0;         ///< between programming and reading, >= 0
  Index compensation = 0;       ///< 1: outputs are rescaled by what unit inputs read right after programming, over what they read now

  /// @throws ConfigError naming model.map_options and the value
  void validate() const;
};

/// A number of the options by the name that model.map_options gives it.
struct CrossbarField {
  std::string name;
  std::variant<double CrossbarOptions::*, Index CrossbarOptions::*, std::uint64_t CrossbarOptions::*> member;
  double least = 0.0, most = 0.0;
};
[[nodiscard]] const std::vector<CrossbarField>& crossbar_fields();
/// All numbers of `options` by name, and options from them. @throws ConfigError naming model.map_options
[[nodiscard]] NamedNumbers crossbar_numbers(const CrossbarOptions& options);
[[nodiscard]] CrossbarOptions crossbar_options(const NamedNumbers& numbers);

/// Presets by name: converters, bounds and noise of the outputs, with weights as they are set; and the same with cells of phase-change
/// memory.
[[nodiscard]] CrossbarOptions crossbar_io();
[[nodiscard]] CrossbarOptions crossbar_pcm();

/// Phase-change memory at the relative conductance g, 0 .. 1  [docs/notation.md, Crossbars]: standard deviation of what is programmed, in
/// largest conductances; mean and spread of the exponent of its drift; standard deviation of a reading `seconds` after programming, in
/// shares of the conductance.
namespace pcm {
[[nodiscard]] double programming_noise(double g) noexcept;
[[nodiscard]] double drift_mean(double g) noexcept;
[[nodiscard]] double drift_spread(double g) noexcept;
[[nodiscard]] double read_noise(double g, double seconds) noexcept;
/// What a conductance with this exponent is multiplied by, `seconds` after programming.
[[nodiscard]] double drifted(double exponent, double seconds) noexcept;
}  // namespace pcm

/// z = W x + b with W on a crossbar, b digital.  theta: W row-major (H, D), then b (H), as Dense.  x (B, D)   z (B, H)
/// A reading programs all cells: the same theta stands as it was programmed within one series of readings. All that is random has the
/// address of its reading, and noise of outputs and inputs that of its row, so that neither threads, resumes nor parts of a batch change
/// it. Cost of forward: B forward evaluations, and (repeated_rows) those that bound management repeats; with compensation 2 D more for
/// each theta of a series of readings. S is float or double.
template <class S>
class Crossbar final : public ForwardMap<S>, public AddressedReadings, public ManyReadings<S>, public RepeatedReadings {
 public:
  /// groups: equal ranges of outputs, each with its rows of W and b a parameter group of its own; one reading serves them all.
  /// @throws ConfigError if a size is below 1, groups do not divide the outputs, or for numbers out of range
  Crossbar(Shape input, Index outputs, const CrossbarOptions& options, Index groups = 1);

  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return outputs_ * (inputs_ + 1); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return dense_layout(inputs_, outputs_, groups_); }
  [[nodiscard]] std::string kind() const override { return "crossbar"; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
  void begin_series(const ReadingSeries& series) const override { counter_.begin(series); }
  /// Never: answers have steps or noise.
  [[nodiscard]] bool smooth() const override { return false; }

  /// By bound management, and for compensation.
  [[nodiscard]] std::int64_t repeated_rows() const override { return repeated_; }

  /// The weights that the cells stand for in this reading, in units of the weights.  (H, D)
  [[nodiscard]] Matrix<S> weights(const Reading& reading, std::span<const S> theta) const {
    return weights_at(reading, theta, {.seconds = options_.seconds, .part = 0});
  }
  /// By what outputs are multiplied in this reading  [docs/notation.md, Crossbars, alpha]; 1 without compensation.
  [[nodiscard]] double compensation(const Reading& reading, std::span<const S> theta) const;

 private:
  /// When cells are read, and what keeps the random numbers apart of moments that share an address.
  struct Moment {
    double seconds = 0.0;
    std::uint32_t part = 0;
  };
  void read(const Reading& reading, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const;
  [[nodiscard]] double range(std::span<const S> theta) const;
  [[nodiscard]] Matrix<S> weights_at(const Reading& reading, std::span<const S> theta, const Moment& moment) const;
  /// weights (H D) in shares of the largest one, asked for in `written`: to what `reading` finds in their cells.
  void program(const Reading& reading, const Reading& written, const Moment& moment, Vector<double>& weights) const;
  /// y: outputs without biases, in shares of the largest weight, of cells that stand for these shares of it, read at `moment`,
  /// times `factor`. Returns the rows that bound management repeated.
  [[nodiscard]] std::int64_t read_cells(const Reading& reading, const Moment& moment, const Matrix<S>& shares, const ConstMatrixRef<S>& x,
                                        double factor, MatrixRef<S> y) const;
  /// One attempt: outputs of samples with these inputs, scaled; true for those with an output at its bound.
  void multiply(const Reading& reading, std::uint32_t part, const PackedOperand<S>& weights, Matrix<S> inputs, Matrix<S>& outputs,
                std::vector<char>& bound) const;

  Shape input_;
  Index inputs_, outputs_, groups_;
  CrossbarOptions options_;
  mutable ReadingCounter counter_;
  mutable std::atomic<std::int64_t> repeated_{0};
  mutable std::atomic<std::uint64_t> compensated_{0};  // what the last compensation was read for
};

extern template class Crossbar<float>;
extern template class Crossbar<double>;

}  // namespace ffzero
