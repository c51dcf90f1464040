// A graph as operators of ONNX.
// SPDX-License-Identifier: MIT
#include "ffzero/export/onnx/onnx_model.hpp"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

static_assert(std::endian::native == std::endian::little, "raw_data of ONNX is little-endian");

using Dims = std::vector<std::int64_t>;
// Later versions take limits of Clip and axes of sums as inputs, which not every reader follows.
constexpr int kOperators = 10;
// The format that came with them.
constexpr int kFormat = 5;
// Below any length of numbers that are not all 0.
constexpr float kTiny = 1e-30F;
// As LengthOperation: equal numbers leave only the rounding of their mean.
constexpr float kRounding = 1e-12F;

class Writer {
 public:
  explicit Writer(const NetworkGraph& graph) : graph_(graph), out_(*model_.mutable_graph()) {}

  std::string bytes() {
    describe();
    encode();
    Index voters = 0;
    for (const GraphLayer& layer : graph_.layers) voters += layer.scoring ? 1 : 0;
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      const GraphLayer& layer = graph_.layers[i];
      for (const Operation& op : layer.map) at_ = operation(op, at_);
      for (Index k = 0; k < layer.scored_after; ++k) at_ = operation(layer.passed_on[usize(k)], at_);
      if (layer.scoring) say(layer, voters);
      if (i + 1 == graph_.layers.size()) break;
      for (Index k = layer.scored_after; k < isize(layer.passed_on.size()); ++k) at_ = operation(layer.passed_on[usize(k)], at_);
    }
    decide();
    if (out_.ByteSizeLong() > std::numeric_limits<int>::max())
      throw ConfigError("export", "a model of ONNX must be smaller than 2 GB", fmt::format("{} bytes", out_.ByteSizeLong()),
                        "--format npz writes the arrays");
    return model_.SerializeAsString();
  }

 private:
  // A tensor inside the model: its name, and whether it is (batch, C, H, W) or (batch, numbers).
  struct Tensor {
    std::string name;
    bool maps = false;
  };

  // --- pieces of a model

  std::string fresh(const std::string& word) { return fmt::format("{}{}", word, counter_++); }

  onnx::NodeProto& node(const std::string& kind, const std::vector<std::string>& inputs, const std::string& output) {
    onnx::NodeProto& added = *out_.add_node();
    added.set_name(output);
    added.set_op_type(kind);
    for (const auto& input : inputs) added.add_input(input);
    added.add_output(output);
    return added;
  }
  std::string compute(const std::string& kind, const std::vector<std::string>& inputs) {
    std::string output = fresh(kind);
    node(kind, inputs, output);
    return output;
  }
  static void set(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
  }
  static void set(onnx::NodeProto& node, const std::string& name, const Dims& values) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    for (const auto value : values) attribute.add_ints(value);
  }

  static void set(onnx::NodeProto& node, const std::string& name, float value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
  }

  template <class T>
  std::string constant(const std::string& name, const Dims& dims, const T* values, onnx::TensorProto::DataType type) {
    onnx::TensorProto& tensor = *out_.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const auto d : dims) tensor.add_dims(d);
    const auto count = std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
    tensor.set_raw_data(values, usize(count) * sizeof(T));
    return name;
  }
  std::string floats(const std::string& name, const Dims& dims, const float* values) {
    return constant(name, dims, values, onnx::TensorProto::FLOAT);
  }
  std::string scalar(float value) { return floats(fresh("number"), {1}, &value); }
  std::string integers(const Dims& values) {
    return constant(fresh("integers"), {isize(values.size())}, values.data(), onnx::TensorProto::INT64);
  }

  // Of each row.
  std::string reduced(const std::string& kind, const std::string& rows) {
    std::string output = fresh(kind);
    onnx::NodeProto& added = node(kind, {rows}, output);
    set(added, "axes", Dims{1});
    set(added, "keepdims", std::int64_t{1});
    return output;
  }
  std::string reshaped(const std::string& input, Dims rest) {
    rest.insert(rest.begin(), -1);
    return compute("Reshape", {input, integers(rest)});
  }

  std::string flat(const Tensor& x, const Shape& shape) { return x.maps ? reshaped(x.name, {shape.size()}) : x.name; }
  std::string maps(const Tensor& x, const Shape& shape) {
    return x.maps ? x.name : reshaped(x.name, {shape.channels, shape.height, shape.width});
  }

  // y = W x + b of rows.
  std::string product(const std::string& x, const std::string& name, const Matrix<float>& weight, const Vector<float>& bias) {
    std::string output = fresh("Gemm");
    const std::string w = floats(name + ".weight", {weight.rows(), weight.cols()}, weight.data());
    set(node("Gemm", {x, w, floats(name + ".bias", {weight.rows()}, bias.data())}, output), "transB", std::int64_t{1});
    return output;
  }
  std::string product(const std::string& x, const std::string& name, const Matrix<float>& weight) {
    const Matrix<float> w = weight.transpose();
    return compute("MatMul", {x, floats(name, {w.rows(), w.cols()}, w.data())});
  }

  // --- operations of a network

  Tensor operation(const Operation& op, const Tensor& x) {
    if (const auto* affine = std::get_if<AffineOperation>(&op.what))
      return {product(flat(x, op.input), op.name, affine->weight, affine->bias), false};
    if (const auto* conv = std::get_if<ConvolutionOperation>(&op.what)) return convolution(op, *conv, maps(x, op.input));
    if (const auto* pool = std::get_if<MaxPoolOperation>(&op.what)) {
      std::string output = fresh("MaxPool");
      onnx::NodeProto& added = node("MaxPool", {maps(x, op.input)}, output);
      set(added, "kernel_shape", Dims{pool->size, pool->size});
      set(added, "strides", Dims{pool->stride, pool->stride});
      return {output, true};
    }
    if (const auto* means = std::get_if<MeanPoolOperation>(&op.what)) return mean_pool(op, *means, x);
    if (const auto* projection = std::get_if<ProjectionOperation>(&op.what)) {
      // A convolution of each channel with kernels of its own size.
      const Shape& in = op.input;
      const std::string weight =
          floats(op.name + ".matrices", {in.channels * projection->size, 1, in.height, in.width}, projection->matrices.data());
      std::string output = fresh("Conv");
      onnx::NodeProto& added = node("Conv", {maps(x, in), weight}, output);
      set(added, "kernel_shape", Dims{in.height, in.width});
      set(added, "group", std::int64_t{in.channels});
      return {reshaped(output, {in.channels * projection->size}), false};
    }
    if (const auto* length = std::get_if<LengthOperation>(&op.what)) return unit_length(op, *length, x);
    return {compute(std::holds_alternative<TanhOperation>(op.what) ? "Tanh" : "Relu", {x.name}), x.maps};
  }

  Tensor convolution(const Operation& op, const ConvolutionOperation& conv, const std::string& x) {
    std::string output = fresh("Conv");
    const std::string weight =
        floats(op.name + ".weight", {conv.weight.rows(), op.input.channels, conv.kernel, conv.kernel}, conv.weight.data());
    onnx::NodeProto& added = node("Conv", {x, weight, floats(op.name + ".bias", {conv.bias.size()}, conv.bias.data())}, output);
    set(added, "kernel_shape", Dims{conv.kernel, conv.kernel});
    set(added, "strides", Dims{conv.stride, conv.stride});
    set(added, "pads", Dims(4, conv.padding));
    return {output, true};
  }

  // A product with the cells of a plane: they may overlap and differ in size.
  Tensor mean_pool(const Operation& op, const MeanPoolOperation& means, const Tensor& x) {
    const Index planes = op.input.channels, n = op.input.height * op.input.width, m = op.output.height * op.output.width;
    Matrix<float> weight = Matrix<float>::Zero(m, n);
    Index cell = 0;
    for (const PoolCell& rows : means.rows)
      for (const PoolCell& columns : means.columns) {
        const auto share = 1.0F / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
        for (Index u = rows.begin; u < rows.end; ++u)
          weight.row(cell).segment(u * op.input.width + columns.begin, columns.end - columns.begin).setConstant(share);
        ++cell;
      }
    // All planes of all samples are rows of one product.
    const std::string pooled = product(reshaped(x.name, {n}), op.name, weight);
    return {reshaped(pooled, {planes, op.output.height, op.output.width}), true};
  }

  // Every part of every sample is a row.
  Tensor unit_length(const Operation& op, const LengthOperation& length, const Tensor& x) {
    const Index size = op.input.size() / length.groups;
    std::string rows = reshaped(x.name, {size});
    const std::string before = squares_of(rows);
    if (length.centred) rows = compute("Sub", {rows, along(reduced("ReduceMean", rows), size)});
    const std::string squares = squares_of(rows);
    const std::string over = compute("Sub", {squares, compute("Mul", {before, scalar(kRounding)})});
    // 1 where it is above 0, which any float is by more than its smallest.
    const std::string counts = clipped(compute("Mul", {over, scalar(std::numeric_limits<float>::max())}), 0.0F, 1.0F);
    const std::string factor = compute("Div", {counts, clipped(compute("Sqrt", {squares}), kTiny, std::numeric_limits<float>::max())});
    return {reshaped(compute("Mul", {rows, along(factor, size)}), {op.input.size()}), false};
  }

  std::string squares_of(const std::string& rows) { return reduced("ReduceSum", compute("Mul", {rows, rows})); }
  // One number a row, `size` times: few readers stretch a computed tensor themselves.
  std::string along(const std::string& column, Index size) { return product(column, fresh("ones"), Matrix<float>::Ones(size, 1)); }
  std::string clipped(const std::string& x, float least, float most) {
    std::string output = fresh("Clip");
    onnx::NodeProto& added = node("Clip", {x}, output);
    set(added, "min", least);
    set(added, "max", most);
    return output;
  }

  // --- from a sample to the first layer

  void encode() {
    const bool image = graph_.raw.height > 1;
    onnx::ValueInfoProto& input = *out_.add_input();
    const Shape& raw = graph_.raw;
    value_info(input, "sample", image ? Dims{raw.channels, raw.height, raw.width} : Dims{raw.size()}, onnx::TensorProto::FLOAT);
    at_ = {"sample", image};
    if (!graph_.scale.empty()) at_.name = scaled();
    const InputWindow window = input_window(graph_);
    if (window.shape != raw) {
      const auto& s = window.shape;
      at_.name = compute("Slice", {at_.name, integers({window.top, window.left}), integers({window.top + s.height, window.left + s.width}),
                                   integers({2, 3})});
    }
    if (graph_.bytes) at_ = contrast(window.shape.size());
    if (window.pool) at_ = operation(*window.pool, at_);
  }

  // Features of a table: (x - offset) factor, within limits.
  std::string scaled() {
    const Index n = graph_.raw.size();
    const std::vector<float> offset(graph_.scale.offset.begin(), graph_.scale.offset.end());
    const std::vector<float> factor(graph_.scale.factor.begin(), graph_.scale.factor.end());
    const Shape& raw = graph_.raw;
    const Dims dims = raw.height > 1 ? Dims{1, raw.channels, raw.height, raw.width} : Dims{1, n};
    const std::string x = compute("Mul", {compute("Sub", {at_.name, floats("features.offset", dims, offset.data())}),
                                          floats("features.factor", dims, factor.data())});
    const auto largest = static_cast<float>(FeatureScale::kLargestFeature);
    return clipped(x, -largest, largest);
  }

  // Pixels 0 .. 255 to 0 .. 1, from the darkest of the sample to the brightest.
  Tensor contrast(Index n) {
    const std::string x = compute("Div", {reshaped(at_.name, {n}), scalar(255.0F)});
    const std::string low = reduced("ReduceMin", x);
    const std::string range = compute("Add", {compute("Sub", {reduced("ReduceMax", x), low}), scalar(1e-8F)});
    return {compute("Div", {compute("Sub", {x, along(low, n)}), along(range, n)}), false};
  }

  // --- decisions

  // Scores of one layer (batch, K): groups of prototypes added up.
  std::string scores(const GraphLayer& layer) {
    Tensor z = at_;
    const Operation* before = layer.readout ? &*layer.readout : nullptr;
    if (before != nullptr) z = operation(*before, z);
    groups_ = 1;
    if (const auto* prototypes = std::get_if<PrototypeScoring>(&*layer.scoring)) return similarities(layer.name, *prototypes, z);
    const std::string all = z.maps ? compute("Flatten", {z.name}) : z.name;
    return compute("Slice", {all, integers({0}), integers({graph_.columns}), integers({1})});
  }

  std::string similarities(const std::string& layer, const PrototypeScoring& p, const Tensor& z) {
    const Index size = p.prototypes.cols();
    const std::string rows = reshaped(z.name, {size});
    const std::string length =
        clipped(compute("Sqrt", {squares_of(rows)}), std::max(static_cast<float>(p.floor), kTiny), std::numeric_limits<float>::max());
    const std::string unit = compute("Div", {rows, along(length, size)});
    Matrix<float> weight = Matrix<float>::Zero(graph_.columns, p.groups * size);
    for (Index g = 0; g < p.groups; ++g)
      for (Index k = 0; k < p.classes; ++k)
        weight.row((g * p.classes + k) % graph_.columns).segment(g * size, size) += p.prototypes.row(g * p.classes + k);
    groups_ = std::max<Index>(1, p.groups * p.classes / graph_.columns);
    return product(reshaped(unit, {p.groups * size}), layer + ".prototypes", weight);
  }

  // One voter more.
  void say(const GraphLayer& layer, Index voters) {
    const std::string s = scores(layer);
    std::string vote = s;
    if (graph_.rule == VoteRule::sum_log_softmax) {
      vote = fresh("LogSoftmax");
      set(node("LogSoftmax", {compute("Div", {s, scalar(static_cast<float>(graph_.temperature))})}, vote), "axis", std::int64_t{1});
    }
    const Index share = groups_ * (graph_.rule == VoteRule::last ? 1 : voters);
    const std::string mean = share == 1 ? s : compute("Div", {s, scalar(static_cast<float>(share))});
    votes_ = votes_.empty() ? vote : compute("Add", {votes_, vote});
    mean_ = mean_.empty() ? mean : compute("Add", {mean_, mean});
  }

  void decide() {
    if (graph_.task == Task::regression) {
      std::vector<float> scale, offset;
      for (const TargetScale& target : graph_.targets) {
        scale.push_back(static_cast<float>(target.scale));
        offset.push_back(static_cast<float>(target.offset));
      }
      const std::string stretched = compute("Mul", {mean_, floats("targets.scale", {1, graph_.columns}, scale.data())});
      node("Add", {stretched, floats("targets.offset", {1, graph_.columns}, offset.data())}, "values");
      value_info(*out_.add_output(), "values", {graph_.columns}, onnx::TensorProto::FLOAT);
      return;
    }
    node("Identity", {mean_}, "scores");
    onnx::NodeProto& largest = node("ArgMax", {votes_}, "class");
    set(largest, "axis", std::int64_t{1});
    set(largest, "keepdims", std::int64_t{0});
    value_info(*out_.add_output(), "scores", {graph_.columns}, onnx::TensorProto::FLOAT);
    value_info(*out_.add_output(), "class", {}, onnx::TensorProto::INT64);
  }

  static void value_info(onnx::ValueInfoProto& info, const std::string& name, const Dims& rest, onnx::TensorProto::DataType type) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape()->add_dim()->set_dim_param("batch");
    for (const auto d : rest) tensor.mutable_shape()->add_dim()->set_dim_value(d);
  }

  void describe() {
    model_.set_ir_version(kFormat);
    model_.add_opset_import()->set_version(kOperators);
    model_.set_producer_name("ffzero");
    model_.set_producer_version(FFZERO_VERSION);
    out_.set_name("network");
    for (std::size_t k = 0; k < graph_.classes.size(); ++k) {
      onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
      entry.set_key(fmt::format("class.{}", k));
      entry.set_value(graph_.classes[k]);
    }
  }

  const NetworkGraph& graph_;
  onnx::ModelProto model_;
  onnx::GraphProto& out_;
  Tensor at_;
  std::string votes_, mean_;
  Index groups_ = 1, counter_ = 0;
};

}  // namespace

std::string onnx_model(const NetworkGraph& graph) {
  for (const GraphLayer& layer : graph.layers)
    if (layer.scoring && std::holds_alternative<ReadoutScoring>(*layer.scoring))
      throw ConfigError("export --format onnx: " + layer.name, "scores must be prototypes or outputs", "a digital readout",
                        "--format c writes it");
  if (graph.rule == VoteRule::majority || graph.rule == VoteRule::majority_early)
    throw ConfigError("export --format onnx", "the vote must be last, sum or sum_log_softmax", to_string(graph.rule),
                      "--format c writes votes that count decisions");
  return Writer(graph).bytes();
}

}  // namespace ffzero
