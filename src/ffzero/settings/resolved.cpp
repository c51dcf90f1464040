// What resolved values say.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/resolved.hpp"

#include "ffzero/train/plan.hpp"

namespace ffzero {

EncoderOptions encoder_options(const Values& v) {
  return {.crop = v.integer("dataset.crop"),
          .downsample = v.integer("dataset.downsample"),
          .optical_field = v.is("model.kind", "photonic") ? optical_field_from(v.word("dataset.optical_field")) : OpticalField::none,
          .shift = v.integer("dataset.shift"),
          .flip = v.flag("dataset.flip")};
}

ScaleKind feature_scale(const Values& v) { return scale_kind_from(v.word("dataset.scale")); }

Index layers_per_block(const Values& v, Index layers) {
  if (v.is("objective.scope", "end_to_end")) return layers;
  return v.is("objective.scope", "blocks") ? v.integer("objective.block_layers") : 1;
}

Index evaluation_rows(const Values& v) {
  const bool own_batches = v.is("model.kind", "cnn") && v.is("model.conv.batchnorm", "batch");
  return own_batches ? v.integer("training.batch_size") : kEvaluationRows;
}

}  // namespace ffzero
