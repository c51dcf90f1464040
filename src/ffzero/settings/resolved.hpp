// What resolved values say, in the types of the library.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"
#include "ffzero/base/shape.hpp"
#include "ffzero/encode/encoder.hpp"
#include "ffzero/settings/keys.hpp"

namespace ffzero {

/// What the data decide about the settings.
struct DataFacts {
  bool regression = false;
  Index classes = 0;  ///< K; the number of targets in regression
  Index train_size = 0;
  bool images = true;  ///< false for vectors, to which crops and the like do not apply
  Shape sample{};      ///< of a raw sample; empty: not known
  bool table = false;  ///< samples are vectors of real numbers, whose features may have any scale
};

/// Options of the encoder that a resolved configuration asks for.
[[nodiscard]] EncoderOptions encoder_options(const Values& values);
/// How a resolved configuration scales the features of tables.
[[nodiscard]] ScaleKind feature_scale(const Values& values);
/// Layers that are trained as one function, of a network of `layers`: objective.scope.
[[nodiscard]] Index layers_per_block(const Values& values, Index layers);
/// Samples that an evaluation takes at once: the size of the training batches where inference uses the batch's own statistics, else
/// kEvaluationRows.
[[nodiscard]] Index evaluation_rows(const Values& values);

}  // namespace ffzero
