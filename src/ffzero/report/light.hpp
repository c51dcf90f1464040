// The light of a trained photonic network as data.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "ffzero/report/report.hpp"
#include "ffzero/tensor/npz.hpp"

namespace ffzero {

struct LightRequest {
  std::filesystem::path run;        ///< run folder or checkpoint
  std::filesystem::path cache_dir;  ///< where data sets are looked for if dataset.dir is empty
  std::int64_t sample = 0;          ///< of the test set
};

struct LightData {
  NpzArchive arrays;  ///< see light_of
  nlohmann::ordered_json
      summary;  ///< sample; label, prediction (numbers of classes) and similarities or scores (K), or targets and predictions (T) in the
                ///< units of the data; for each mesh name, ports, energy in and out, mean and largest drift of its phases
};

/// For every mesh i of the network (P its phases, c its columns, n its waveguides, K classes):
///   fields_before.i, fields_after.i (c + 2, 2n): the sample's field, real then imaginary parts; row 0 the input, row 1 behind gamma,
///   row 2 + l behind column l; before: with the initial phases, after: with the trained ones;
///   power_by_class.i (K, n): mean power of the first 1000 test samples; phases_before.i, phases_after.i (P) in radians, and
///   phases_drift.i (P), wrapped to (-pi, pi]; histogram_before.i, histogram_after.i (3, 36): theta, phi, gamma over the turn, and
///   energy (layers, 3): mean power in front of, behind and passed on by each layer; image (h, w): the sample as grey bytes, if samples are
///   images. What the network says of the sample is what ffzero predict says of it.
/// @throws ConfigError if the run is not photonic, DataError if there is no such sample or the data set is gone.
[[nodiscard]] LightData light_of(const LightRequest& request);

/// Writes light.npz, light.json, and light.html with figures/ into `out`. @throws as light_of, OutputError
ReportResult write_light(const LightData& light, const LightRequest& request, const std::filesystem::path& out,
                         const GnuplotOptions& gnuplot = {});

}  // namespace ffzero
