// Maps in training and in inference.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/layer_engine.hpp"

namespace ffzero {

template <class S>
void run_map(const ForwardMap<S>& map, Phase phase, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) {
  const auto* stateful = phase == Phase::inference ? dynamic_cast<const StatefulMap<S>*>(&map) : nullptr;
  if (stateful != nullptr)
    stateful->infer(theta, x, y);
  else
    map.forward(theta, x, y);
}

template <class S>
bool rows_apart(const ForwardMap<S>& map, Phase phase) {
  const auto* stateful = phase == Phase::inference ? dynamic_cast<const StatefulMap<S>*>(&map) : nullptr;
  return stateful != nullptr ? stateful->infers_rows_apart() : map.independent_rows();
}

template void run_map(const ForwardMap<float>&, Phase, std::span<const float>, const ConstMatrixRef<float>&, MatrixRef<float>);
template void run_map(const ForwardMap<double>&, Phase, std::span<const double>, const ConstMatrixRef<double>&, MatrixRef<double>);
template bool rows_apart(const ForwardMap<float>&, Phase);
template bool rows_apart(const ForwardMap<double>&, Phase);

}  // namespace ffzero
