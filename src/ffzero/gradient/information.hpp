// What an estimator knows of the function whose gradient it estimates.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace ffzero {

/// From the least to the most: a run is named by the strongest that one of its layers used.
enum class Information {
  none,      ///< nothing was trained
  opaque,    ///< losses of perturbed evaluations, one number each, or their outputs
  grouped,   ///< one loss for each group of outputs, all perturbed in the same evaluation
  activity,  ///< outputs perturbed sample by sample, and the layer's input
  transfer,  ///< readings of a device of fields and powers, and the derivatives of the matrix that was learnt from them
  twin,      ///< readings, and the derivatives of a model of the device
  adjoint,   ///< exact derivatives
};

/// Spelling in reports and in `summary.json`.
[[nodiscard]] inline std::string to_string(Information information) {
  switch (information) {
    case Information::none:
      return "none";
    case Information::opaque:
      return "opaque";
    case Information::grouped:
      return "grouped";
    case Information::activity:
      return "activity";
    case Information::transfer:
      return "transfer";
    case Information::twin:
      return "twin";
    case Information::adjoint:
      return "adjoint";
  }
  return {};
}

}  // namespace ffzero
