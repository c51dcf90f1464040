// Arrays behind the pictures of a run.
// SPDX-License-Identifier: MIT
#include "ffzero/run/evaluation_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/run/mesh_light.hpp"
#include "ffzero/run/pictures.hpp"
#include "ffzero/settings/build_network.hpp"

namespace ffzero {

namespace {

template <class T>
NpyArray array_of(std::span<const T> values, std::vector<Index> shape) {
  return NpyArray::of<T>(values, std::move(shape));
}

NpyArray array_of(const Matrix<float>& m) { return array_of(std::span<const float>(m.data(), usize(m.size())), {m.rows(), m.cols()}); }

void add_outputs(const EvaluationInputs& in, NpzArchive& archive) {
  const Dataset& test = in.splits.test;
  const Index samples = test.size(), layers = isize(in.outputs.test_scores.size());
  if (test.task() == Task::classification)
    archive["test_labels"] = array_of(test.labels(), {samples});
  else
    archive["test_targets"] =
        array_of(test.targets(), test.outputs() > 1 ? std::vector<Index>{samples, test.outputs()} : std::vector<Index>{samples});
  std::vector<float> scores;
  for (const auto& s : in.outputs.test_scores) scores.insert(scores.end(), s.data(), s.data() + s.size());
  archive["test_scores"] = array_of(std::span<const float>(scores), {layers, samples, in.network.classes()});
  std::vector<std::int32_t> predictions;
  for (const auto& p : in.outputs.predictions) predictions.insert(predictions.end(), p.begin(), p.end());
  if (!predictions.empty()) archive["test_predictions"] = array_of(std::span<const std::int32_t>(predictions), {layers, samples});
  if (!in.outputs.vote.empty()) archive["test_vote"] = array_of(std::span<const std::int32_t>(in.outputs.vote), {samples});
}

// How right the layer that decides is about a sample; the most wrong ones are the smallest. Where layers vote, what the vote gets wrong
// comes first: the bonus for a right vote is larger than any difference of similarities.
constexpr double kRightVote = 1e6;

std::vector<double> confidence(const EvaluationInputs& in) {
  const Dataset& test = in.splits.test;
  const Matrix<float>& scores = in.outputs.test_scores[in.outputs.deciding];
  std::vector<double> values(usize(test.size()));
  for (Index i = 0; i < test.size(); ++i) {
    if (test.task() == Task::regression) {
      for (Index t = 0; t < test.outputs(); ++t)
        values[usize(i)] -=
            std::abs(static_cast<double>(scores(i, t)) - static_cast<double>(test.targets()[usize(i * test.outputs() + t)]));
      continue;
    }
    const std::int32_t label = test.labels()[usize(i)];
    double rival = -1e30;
    for (Index k = 0; k < scores.cols(); ++k)
      if (k != label) rival = std::max(rival, static_cast<double>(scores(i, k)));
    values[usize(i)] = static_cast<double>(scores(i, label)) - rival;
    if (!in.outputs.vote.empty() && in.outputs.vote[usize(i)] == label) values[usize(i)] += kRightVote;
  }
  return values;
}

void add_worst(const EvaluationInputs& in, NpzArchive& archive) {
  const Dataset& test = in.splits.test;
  if (in.outputs.test_scores.empty() || test.empty()) return;
  const std::vector<double> values = confidence(in);
  std::vector<std::int32_t> order(usize(test.size()));
  std::iota(order.begin(), order.end(), 0);
  const Index count = std::min(in.worst_samples, test.size());
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::int32_t a, std::int32_t b) {
    const double u = values[usize(a)], v = values[usize(b)];
    return u != v ? u < v : a < b;
  });
  order.resize(usize(count));
  archive["worst_indices"] = array_of(std::span<const std::int32_t>(order), {count});
  const Shape shape = test.shape();
  if (!has_pictures(test)) return;
  std::vector<std::uint8_t> pixels;
  for (const std::int32_t sample : order) {
    const auto picture = grey_picture(test, sample);
    pixels.insert(pixels.end(), picture.begin(), picture.end());
  }
  archive["worst_images"] = array_of(std::span<const std::uint8_t>(pixels), {count, shape.height, shape.width});
}

Matrix<float> encoded(const EvaluationInputs& in, Index first, Index count) {
  return encode_samples(in.encoder, in.splits.test, first, count);
}

double mean_power(const Matrix<float>& light) {
  return light.rows() == 0 ? 0.0 : light.cast<double>().squaredNorm() / static_cast<double>(light.rows());
}

// Mean power in each waveguide of a mesh, one row a class (one row in regression).
Matrix<float> power_by_class(const EvaluationInputs& in, const Matrix<float>& power) {
  const bool labelled = in.splits.test.task() == Task::classification;
  const Index classes = labelled ? in.network.classes() : 1;
  Matrix<double> sum = Matrix<double>::Zero(classes, power.cols());
  Vector<double> count = Vector<double>::Zero(classes);
  for (Index i = 0; i < power.rows(); ++i) {
    const Index k = labelled ? in.splits.test.labels()[usize(i)] : 0;
    sum.row(k) += power.row(i).cast<double>();
    count(k) += 1.0;
  }
  return (sum.array().colwise() / count.array().max(1.0)).cast<float>();
}

void add_light(const EvaluationInputs& in, const std::vector<MeshView>& meshes, NpzArchive& archive) {
  const Matrix<float> x = encoded(in, std::min(in.light_sample, in.splits.test.size() - 1), 1);
  const std::span<const float> row(x.data(), usize(x.size()));
  const auto initial = initial_network<float>(in.config, in.network.input_shape(), in.network.classes(), in.executor);
  const auto before = light_through(initial, row), after = light_through(in.network, row);
  const auto untrained = meshes_of(initial);
  for (std::size_t i = 0; i < meshes.size(); ++i) {
    archive[fmt::format("light_before.{}", i)] = array_of(powers_of(before[i]));
    archive[fmt::format("light_after.{}", i)] = array_of(powers_of(after[i]));
    archive[fmt::format("phases_initial.{}", i)] = array_of(untrained[i].theta, {isize(untrained[i].theta.size())});
    archive[fmt::format("phases_final.{}", i)] = array_of(meshes[i].theta, {isize(meshes[i].theta.size())});
  }
}

void add_prototypes(const Network<float>& network, Matrix<float>& features, NpzArchive& archive) {
  const auto* head = dynamic_cast<const PrototypeHead<float>*>(&network.head_of(network.layers() - 1));
  if (head == nullptr) return;
  if (features.cols() > head->dimension()) features = Matrix<float>(features.leftCols(head->dimension()));
  archive["prototypes"] = array_of(Matrix<float>(head->prototypes(0)));
}

Index feature_count(const EvaluationInputs& in) { return std::min(in.feature_samples, in.splits.test.size()); }

// Features of the first samples, and on the way there the powers behind every mesh and the maps of convolutions. Returns the evaluations
// it took.
Index add_features(const EvaluationInputs& in, const std::vector<MeshView>& meshes, NpzArchive& archive, ConvolutionPictures& pictures) {
  const Index count = feature_count(in);
  Matrix<float> x = encoded(in, 0, count), energy(in.network.layers(), 3), y;
  LayerOutput<float> out;
  std::size_t mesh = 0;
  for (Index i = 0; i < in.network.layers(); ++i) {
    in.network.infer(i, x, i + 1 == in.network.layers() ? Wanted::both : Wanted::passed_on, out);
    if (mesh < meshes.size()) {
      const auto& map = *in.network.layer(i).map;
      y.resize(count, map.output_shape().size());
      map.forward(in.network.theta(i, i + 1), x, y);
      energy.row(i) << static_cast<float>(mean_power(x)), static_cast<float>(mean_power(y)), static_cast<float>(mean_power(out.passed_on));
      for (Index part = 0; mesh < meshes.size() && meshes[mesh].layer == i; ++part, ++mesh)
        archive[fmt::format("mesh_power.{}", mesh)] =
            array_of(power_by_class(in, powers_of(fields_of_mesh<float>(y, meshes[mesh].layout.ports(), part))));
    }
    pictures.add_layer(in.network.layer(i), out.passed_on);
    x.swap(out.passed_on);
  }
  add_prototypes(in.network, out.head_input, archive);
  archive["features"] = array_of(out.head_input);
  if (!meshes.empty()) archive["energy"] = array_of(energy);
  return count * in.network.layers() * (meshes.empty() ? 1 : 2);
}

nlohmann::json about(const EvaluationInputs& in, const std::vector<MeshView>& meshes, Index evaluations) {
  nlohmann::json described = nlohmann::json::array();
  for (const MeshView& mesh : meshes)
    described.push_back({{"name", mesh.name},
                         {"layer", mesh.layer},
                         {"ports", mesh.layout.ports()},
                         {"layout", to_string(mesh.layout.geometry())},
                         {"dead_parameters", mesh.layout.dead_parameters()}});
  const Shape shape = in.splits.test.shape();
  const DatasetInfo& info = in.splits.test.info();
  const nlohmann::json names = info.class_texts.empty() ? nlohmann::json(info.class_names) : nlohmann::json(info.class_texts);
  return {{"format", 1},
          {"class_names", names},
          {"output_names", info.output_names},
          {"sample_shape", {shape.channels, shape.height, shape.width}},
          {"light_sample", in.light_sample},
          {"deciding_layer", in.outputs.deciding},
          {"meshes", described},
          {"evaluations", evaluations}};
}

}  // namespace

NpzArchive mesh_powers(const EvaluationInputs& in) {
  NpzArchive archive;
  ConvolutionPictures pictures(in.splits.test, feature_count(in));
  add_features(in, meshes_of(in.network), archive, pictures);
  return archive;
}

NpzArchive evaluation_data(const EvaluationInputs& in) {
  NpzArchive archive;
  add_outputs(in, archive);
  if (in.splits.test.empty()) return archive;
  add_worst(in, archive);
  const std::vector<MeshView> meshes = meshes_of(in.network);
  ConvolutionPictures pictures(in.splits.test, feature_count(in));
  Index evaluations = add_features(in, meshes, archive, pictures);
  if (!meshes.empty()) {
    add_light(in, meshes, archive);
    evaluations += 2 * in.network.layers();
  }
  nlohmann::json described = about(in, meshes, evaluations);
  pictures.store(in.network, archive, described);
  const std::string text = described.dump();
  archive["about"] =
      array_of(std::span<const std::uint8_t>(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), {isize(text.size())});
  return archive;
}

}  // namespace ffzero
