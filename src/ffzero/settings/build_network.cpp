// From a configuration to a network: the only place that knows which maps a kind of model is made of.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/build_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/device/recorded.hpp"
#include "ffzero/device/text.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/map/conv/window.hpp"
#include "ffzero/map/cosines.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/map_registry.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/map/normalise.hpp"
#include "ffzero/map/pca.hpp"
#include "ffzero/map/replicated.hpp"
#include "ffzero/map/side_by_side.hpp"
#include "ffzero/map/wrapped_map.hpp"
#include "ffzero/train/mesh_start.hpp"
#include "ffzero/train/readout_head.hpp"

namespace ffzero {

namespace {

/// A layer of the shape of a device that nobody may connect to.
template <class S>
class AbsentDevice final : public ForwardMap<S> {
 public:
  explicit AbsentDevice(const DeviceShape& shape) : shape_(shape) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = shape_.inputs}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = shape_.outputs}; }
  [[nodiscard]] Index parameter_count() const override { return shape_.parameters; }
  void forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& /*x*/, MatrixRef<S> /*y*/) const override {
    throw DeviceError(DeviceFailure::disconnected, "device", "is not connected", "", "name it with --device ADDRESS");
  }

 private:
  DeviceShape shape_;
};

// Numbers that a network holds, trained and fixed, counted without building it. In double, which no product of sizes overflows.
class SizeCount {
 public:
  SizeCount(const Config& config, const Shape& input, Index classes)
      : values_(config.values()), shape_(input), classes_(static_cast<double>(classes)) {}

  /// @throws ConfigError if there are more than any machine would train
  void require_possible() {
    if (values_.is("model.kind", "photonic") || values_.is("model.kind", "device")) return;
    if (values_.is("model.kind", "cnn") && !count_convolutions()) return;
    count_dense_layers();
  }

 private:
  void add(const char* key, double numbers, double outputs) {
    constexpr double kMostNumbers = 2147483648.0, kMostOutputs = 67108864.0;
    numbers_ += numbers;
    if (numbers_ > kMostNumbers)
      throw ConfigError(key, fmt::format("the network may hold at most {:.0f} numbers (weights, projections, prototypes)", kMostNumbers),
                        fmt::format("{:.3g}", numbers_), "use fewer or smaller layers");
    if (outputs > kMostOutputs)
      throw ConfigError(key, fmt::format("a layer may put out at most {:.0f} numbers for a sample", kMostOutputs),
                        fmt::format("{:.3g}", outputs), "use fewer or smaller layers");
  }

  // False where the sizes do not fit one another, which the builder tells with its reasons.
  bool count_convolutions() {
    const auto channels = values_.integers("model.conv.channels");
    const auto entry = [&](const char* key, std::size_t i) -> Index {
      const auto list = values_.integers(key);
      return list.empty() ? 0 : list[std::min(i, list.size() - 1)];
    };
    const bool projected = !values_.is("objective.scope", "end_to_end");
    for (std::size_t i = 0; i < channels.size(); ++i) {
      const Index kernel = entry("model.conv.kernel", i), padding = entry("model.conv.padding", i), pool = entry("model.conv.pool", i);
      const Index stride = entry("model.conv.stride", i), pool_stride = entry("model.conv.pool_stride", i);
      const double taps = static_cast<double>(shape_.channels) * static_cast<double>(kernel * kernel) + 2.0;
      shape_ = window_outputs(shape_, channels[i], {.size = kernel, .stride = stride, .padding = padding});
      const double maps = static_cast<double>(channels[i]), plane = static_cast<double>(shape_.height * shape_.width);
      const double size = projected ? static_cast<double>(values_.integer("model.conv.projection")) : 0.0;
      const double pooled = static_cast<double>(projected ? values_.integer("model.conv.projection_pool") : 0);
      add("model.conv.channels", maps * (taps + size * (pooled > 0.0 ? pooled * pooled : plane) + size * classes_), maps * plane);
      if (pool > 0) shape_ = window_outputs(shape_, shape_.channels, {.size = pool, .stride = pool_stride});
      if (shape_.height < 1 || shape_.width < 1) return false;
    }
    return true;
  }

  void count_dense_layers() {
    const auto widths = values_.integers("model.layers"), pca = values_.integers("model.pca");
    double inputs = static_cast<double>(shape_.channels) * static_cast<double>(shape_.height * shape_.width);
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const double outputs = static_cast<double>(widths[i]), components = i < pca.size() ? static_cast<double>(pca[i]) : 0.0;
      if (components > 0.0) {
        add("model.pca", inputs * components, components);
        inputs = components;
      }
      add("model.layers", outputs * (inputs + 1.0 + classes_), outputs);
      inputs = outputs;
    }
  }

  const Values& values_;
  Shape shape_;
  double classes_, numbers_ = 0.0;
};

// The chips of the meshes side by side in one layer; none if they are what their model says.
std::vector<Chip> chips_of(const Values& v, const MeshLayout& layout, std::uint32_t layer, Index parallel) {
  const ChipOptions options = chip_options(v);
  const std::string file = v.word("model.mesh.chip.file");
  std::vector<Chip> chips;
  if (options.ideal() && file.empty()) return chips;
  for (Index m = 0; m < parallel; ++m) {
    const auto number = static_cast<std::uint32_t>(v.integer("model.mesh.chip.number") + layer * parallel + m);
    chips.push_back(file.empty() ? draw_chip(layout, options, number) : read_chip(file, layout, options, number));
  }
  return chips;
}

template <class S>
class NetworkBuilder {
 public:
  NetworkBuilder(const Config& config, const Shape& input, Index classes, std::shared_ptr<const Executor> executor,
                 const DeviceMaps<S>& devices)
      : config_(config),
        devices_(devices),
        seed_(config.values().seed()),
        classes_(classes),
        head_classes_(classes),
        executor_(std::move(executor)) {
    const Values& v = config.values();
    parts_.input = input;
    parts_.classes = classes;
    parts_.end_to_end = v.is("objective.scope", "end_to_end");
    parts_.fitted_readout = v.is("model.kind", "photonic") && !parts_.end_to_end && v.is("model.mesh.linear_head", "trained");
    parts_.seed = seed_;
    // Several targets of a regression are groups of outputs, each with one prototype.
    if (v.is("dataset.task", "regression") && !parts_.end_to_end) head_classes_ = 1;
  }

  Network<S> build() {
    const Values& v = config_.values();
    Shape shape = parts_.input;
    if (v.is("model.kind", "photonic")) {
      add_meshes(shape);
    } else if (v.is("model.kind", "device")) {
      shape = add_dense_layers(shape, v.integers("model.layers_before"), false);
      for (std::size_t i = 0; i < config_.devices().size(); ++i) shape = add_device(shape, i);
      add_dense_layers(shape, v.integers("model.layers"), true);
    } else {
      if (v.is("model.kind", "cnn")) shape = add_convolutions(shape);
      add_dense_layers(shape, v.integers("model.layers"), true);
    }
    return Network<S>(std::move(parts_), executor_, std::move(fronts_));
  }

 private:
  [[nodiscard]] std::uint32_t next_index() const { return static_cast<std::uint32_t>(parts_.layers.size()); }

  // One entry of a list with an entry a convolution, or of a list of one that stands for all.
  [[nodiscard]] Index conv_entry(const char* key, std::size_t i, std::size_t convolutions) const {
    const auto list = config_.values().integers(key);
    if (list.size() != 1 && list.size() != convolutions)
      throw ConfigError(key, fmt::format("needs one entry, or one for each of the {} convolutions", convolutions),
                        std::to_string(list.size()), "one entry serves all");
    return list.size() == 1 ? list[0] : list[i];
  }

  /// `map` as what it really is in layer number next_index(), by these options.
  [[nodiscard]] std::shared_ptr<ForwardMap<S>> imperfect(std::shared_ptr<ForwardMap<S>> map, const ImperfectOptions& options,
                                                         Index part) const {
    const Values& v = config_.values();
    const bool stop = v.is("device.on_failure", "stop");
    return imperfect_map<S>(std::move(map), options, static_cast<std::uint32_t>(part),
                            stop ? 0 : static_cast<int>(v.integer("device.retries")), v.is("device.on_failure", "skip"));
  }
  [[nodiscard]] std::shared_ptr<ForwardMap<S>> imperfect(std::shared_ptr<ForwardMap<S>> map, const ImperfectOptions& options) const {
    return imperfect(std::move(map), options, next_index());
  }
  [[nodiscard]] std::shared_ptr<ForwardMap<S>> imperfect(std::shared_ptr<ForwardMap<S>> map) const {
    return imperfect(std::move(map), imperfect_options(config_.layer_values(next_index())));
  }

  Shape add_convolutions(Shape shape) {
    const auto channels = config_.values().integers("model.conv.channels");
    if (channels.empty()) throw ConfigError("model.conv.channels", "needs at least one convolution", "[]", "use model.kind = \"mlp\"");
    for (std::size_t i = 0; i < channels.size(); ++i) {
      const ConvOptions options{.input = shape,
                                .channels = channels[i],
                                .kernel = conv_entry("model.conv.kernel", i, channels.size()),
                                .stride = conv_entry("model.conv.stride", i, channels.size()),
                                .padding = conv_entry("model.conv.padding", i, channels.size()),
                                .batchnorm = batchnorm_mode(config_.values().word("model.conv.batchnorm")),
                                .train_batchnorm = !parts_.end_to_end};
      shape = add_convolution(options, conv_entry("model.conv.pool", i, channels.size()),
                              conv_entry("model.conv.pool_stride", i, channels.size()));
    }
    return shape;
  }

  Shape add_convolution(const ConvOptions& options, Index pool, Index pool_stride) {
    const Values v = config_.layer_values(next_index());
    Layer<S> layer;
    layer.name = fmt::format("conv{}", next_index());
    layer.map = imperfect(std::make_shared<ConvBatchNorm<S>>(options, executor_));
    const Shape maps = layer.map->output_shape();
    layer.passed_on.push_back(std::make_shared<Activation<S>>(maps, ActivationKind::relu));
    if (pool > 0) layer.passed_on.push_back(std::make_shared<MaxPool<S>>(maps, pool, pool_stride));
    const Shape passed = layer.passed_on.back()->output_shape();
    layer.loss_after = v.is("model.local_loss_at", "post") ? isize(layer.passed_on.size()) : 0;
    layer.dropout = v.number("model.dropout");
    if (!parts_.end_to_end) {
      const Index size = config_.values().integer("model.conv.projection");
      layer.readout = std::make_shared<ChannelProjection<S>>(layer.loss_after == 0 ? maps : passed, size,
                                                             RandomStream(seed_, Stream::projection, next_index()),
                                                             config_.values().integer("model.conv.projection_pool"));
      if (head_classes_ > size)
        throw ConfigError("model.conv.projection", fmt::format("must be at least K = {}, the number of classes", head_classes_),
                          std::to_string(size), "project to more dimensions");
      layer.head = prototype_head(layer.name, options.channels * size, options.channels, 0.0, {});
    } else {
      layer.head = std::make_shared<LogitsHead<S>>(passed.size(), std::min(classes_, passed.size()));
    }
    parts_.layers.push_back(std::move(layer));
    fronts_.push_back(nullptr);
    return passed;
  }

  void add_meshes(const Shape& input) {
    const Values& v = config_.values();
    const Index ports = input.width, layers = v.integer("model.mesh.layers"), parallel = v.integer("model.mesh.parallel");
    if (input.channels != 2)
      throw ConfigError("model.kind", "a photonic network needs complex inputs", to_string(input),
                        "use images, or an npz of complex vectors");
    if (parallel > 1 && layers > 1)
      throw ConfigError("model.mesh.parallel", "meshes side by side form one layer", fmt::format("{} layers", layers),
                        "use model.mesh.layers = 1");
    const MeshLayout layout(ports, mesh_geometry(v.word("model.mesh.layout")), v.flag("model.mesh.dead_parameters"),
                            mesh_direction(v.word("model.mesh.direction")));
    for (Index i = 0; i < layers; ++i) add_mesh(layout, parallel, i + 1 == layers);
  }

  void add_mesh(const MeshLayout& layout, Index parallel, bool last) {
    const Values v = config_.layer_values(next_index());
    Layer<S> layer;
    layer.name = fmt::format("mesh{}", next_index());
    const std::vector<Chip> chips = chips_of(config_.values(), layout, next_index(), parallel);
    if (!chips.empty())
      layer.map = std::make_shared<ChipMesh<S>>(layout, chips, executor_);
    else if (parallel > 1)
      layer.map = std::make_shared<ParallelMeshes<S>>(layout, parallel, executor_);
    else
      layer.map = std::make_shared<InterferometerMesh<S>>(layout, executor_);
    const Index ports = layout.ports() * parallel;
    if (!last) {
      if (v.is("model.mesh.nonlinearity", "electro_optic")) layer.passed_on.push_back(std::make_shared<ElectroOptic<S>>(ports));
      if (v.is("model.mesh.nonlinearity", "detect")) layer.passed_on.push_back(std::make_shared<Detect<S>>(ports));
      const auto& gain = config_.values().at("model.mesh.gain");
      if (gain == "unit_power") layer.passed_on.push_back(std::make_shared<Gain<S>>(Gain<S>::unit_power(ports)));
      if (gain.is_number()) layer.passed_on.push_back(std::make_shared<Gain<S>>(Gain<S>::fixed(ports, gain.get<double>())));
    }
    layer.loss_after = v.is("model.local_loss_at", "post") ? isize(layer.passed_on.size()) : 0;
    if (!chips.empty() && !ChipReadout<S>(chips, layout.ports()).ideal())
      layer.readout = std::make_shared<ChipDetectors<S>>(chips, layout.ports());
    else
      layer.readout = std::make_shared<Intensity<S>>(ports);
    // Light is set by phases, and read by detectors.
    const ImperfectOptions imperfections = imperfect_options(v);
    layer.map = imperfect(layer.map, imperfections.of_the_parameters());
    layer.readout = imperfect(layer.readout, imperfections.of_the_outputs());
    const bool by_port = v.is("model.mesh.prototypes", "ports") || (last && v.is("model.mesh.prototypes", "last_ports"));
    // |z| is sqrt(max(sum I^2, 1e-12)).
    layer.head = prototype_head(layer.name, ports, parallel, 1e-6,
                                {.key = "dataset.crop", .remedy = "let more light in, or use fewer classes"}, by_port);
    if (!parts_.end_to_end && config_.values().is("model.mesh.linear_head", "joint")) {
      if (parallel > 1)
        throw ConfigError("model.mesh.linear_head", "a readout that learns along with the mesh looks at one mesh",
                          fmt::format("model.mesh.parallel = {}", parallel), "use \"trained\"");
      const auto& prototypes = dynamic_cast<const PrototypeHead<S>&>(*layer.head).prototypes(0);
      layer.head = std::make_shared<ReadoutHead<S>>(prototypes.template cast<double>(), v.number("objective.temperature"));
    }
    parts_.layers.push_back(std::move(layer));
    fronts_.push_back(nullptr);
  }

  // Components before layer number next_index(); 0: none.
  [[nodiscard]] Index components(std::size_t dense, std::size_t count) const {
    const auto pca = config_.values().integers("model.pca");
    if (pca.empty()) return 0;
    // The convolutions have none.
    const bool device = config_.values().is("model.kind", "device");
    const std::size_t entries = device ? usize(config_.layer_count()) : count;
    if (pca.size() != entries)
      throw ConfigError("model.pca", fmt::format("needs one entry for each of the {} {}layers", entries, device ? "" : "dense "),
                        std::to_string(pca.size()), "write 0 for layers without");
    return pca[device ? parts_.layers.size() : dense];
  }

  Shape add_front(Shape shape, Index components) {
    fronts_.push_back(components > 0 ? front_end(shape, components) : nullptr);
    return fronts_.back() ? fronts_.back()->output_shape() : shape;
  }

  Shape add_dense_layers(Shape shape, const std::vector<std::int64_t>& widths, bool last) {
    if (widths.empty() && !config_.values().is("model.kind", "device")) static_cast<void>(components(0, 0));
    for (std::size_t i = 0; i < widths.size(); ++i) {
      shape = add_front(shape, components(i, widths.size()));
      shape = add_dense(shape, widths[i], fmt::format("dense{}", dense_++), last && i + 1 == widths.size());
    }
    return shape;
  }

  [[nodiscard]] DeviceMapOptions device_options(const DeviceLayer& device) const {
    const Values& v = config_.values();
    const auto milliseconds = [&](const char* key) { return Milliseconds(static_cast<std::int64_t>(1000.0 * v.number(key))); };
    const bool stop = v.is("device.on_failure", "stop");
    return {.client = {.retries = stop ? 0 : static_cast<int>(v.integer("device.retries")),
                       .pipeline = device.at("pipeline").get<Index>(),
                       .binary = device.at("binary").get<bool>(),
                       .hello = milliseconds("device.hello_s"),
                       .connect = milliseconds("device.connect_s"),
                       .longest_wait = milliseconds("device.wait_s")},
            .out_of_range = v.is("device.out_of_range", "refuse") ? OutOfRange::refuse : OutOfRange::project,
            .input_scale = device.number("input_scale"),
            .input_offset = device.number("input_offset"),
            .output_scale = device.number("output_scale"),
            .output_offset = device.number("output_offset"),
            .repeats = device.at("repeats").get<int>(),
            .rereads = stop ? 0 : 3,
            .drop_failed = v.is("device.on_failure", "skip")};
  }

  // The map of one of the devices of a layer.
  [[nodiscard]] std::shared_ptr<ForwardMap<S>> open_device(const DeviceLayer& device, std::size_t k) const {
    const std::size_t number = usize(device.first_number) + k;
    if (!devices_.empty()) return devices_.at(number);
    const std::string &address = device.reached_at[k].address, shown = clean_text(address);
    if (!config_.recorded().empty())
      return std::make_shared<DeviceMap<S>>(recorded_client(shown, config_.recorded()[number]), device_options(device));
    if (!device.allowed)
      throw UsageError("device " + shown, "an address that stands in a file is used only if you say so", "",
                       fmt::format("add --device '{}', or --trust-devices", shown));
    try {
      return std::make_shared<DeviceMap<S>>(address, device_options(device));
    } catch (const DeviceError& e) {
      if (device.reached_at.size() == 1) throw;
      throw DeviceError(e.reason(), fmt::format("device {}", number), e.what(), "",
                        device.grouped() ? std::string("mend it") : fmt::format("to go on without: --without-device {}", number));
    }
  }

  [[nodiscard]] std::shared_ptr<ForwardMap<S>> open_devices(const DeviceLayer& device) const {
    if (device.reached_at.size() == 1) return imperfect(open_device(device, 0));
    // Chips differ in what is imperfect about them.
    constexpr Index kPartsOfChip = 32;
    std::vector<NumberedInstrument<S>> members;
    for (std::size_t k = 0; k < device.reached_at.size(); ++k) {
      NumberedInstrument<S> member{
          .number = device.first_number + isize(k), .map = nullptr, .address = clean_text(device.reached_at[k].address)};
      if (!device.reached_at[k].left_out)
        member.map = imperfect(open_device(device, k), imperfect_options(config_.layer_values(next_index())),
                               next_index() + kPartsOfChip * isize(k));
      members.push_back(std::move(member));
    }
    if (device.grouped()) return std::make_shared<SideBySideMap<S>>(std::move(members));
    auto map = std::make_shared<ReplicatedMap<S>>(std::move(members));
    require_equal_ranges(*map);
    return map;
  }

  // One parameter vector means the same on all of them.
  static void require_equal_ranges(const ReplicatedMap<S>& map) {
    const DeviceMap<S>* first = nullptr;
    Index first_number = 0;
    for (const NumberedInstrument<S>& replica : map.members()) {
      const auto* const device = replica.map == nullptr ? nullptr : dynamic_cast<const DeviceMap<S>*>(&innermost(*replica.map));
      if (device == nullptr) continue;
      if (first == nullptr) {
        first = device;
        first_number = replica.number;
        continue;
      }
      const auto wanted = first->parameter_ranges(), found = device->parameter_ranges();
      for (std::size_t i = 0; i < wanted.size(); ++i)
        if (wanted[i].min != found[i].min || wanted[i].max != found[i].max || wanted[i].period != found[i].period)
          throw ConfigError(
              fmt::format("device {}", replica.number),
              fmt::format("must have the ranges of device {}, with which it shares one parameter vector: parameter {} {:g} .. "
                          "{:g}",
                          first_number, i, wanted[i].min, wanted[i].max),
              fmt::format("{:g} .. {:g}", found[i].min, found[i].max), "make it a layer of its own");
    }
  }

  // What brings an input to n numbers.
  [[nodiscard]] std::string remedy_for(const Shape& shape, Index n) const {
    if (!parts_.layers.empty()) return fmt::format("let the layer before it give {} outputs, or use model.pca", n);
    const auto side = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(n))));
    if (shape.height == 1 || side * side * shape.channels != n * shape.channels)
      return fmt::format("dataset.crop, dataset.downsample or model.pca = [{}] bring samples there", n);
    return fmt::format("dataset.downsample = {0}, dataset.crop = {0} or model.pca = [{1}] bring samples there", side, n);
  }

  Shape add_device(Shape shape, std::size_t i) {
    const DeviceLayer& device = config_.devices()[i];
    Layer<S> layer;
    layer.name = fmt::format("device{}", i);
    const bool absent = devices_.empty() && !config_.stand_ins().empty();
    layer.map = absent ? imperfect(std::make_shared<AbsentDevice<S>>(config_.stand_ins()[i])) : open_devices(device);
    const std::string place = layer.name + " (" + clean_text(device.reached_at.front().address) + ")";
    const Index inputs = layer.map->input_shape().size();
    shape = add_front(shape, components(0, 0));
    if (inputs != shape.size())
      throw ConfigError(place, fmt::format("takes {} inputs", inputs), fmt::format("{} from what stands before it", shape.size()),
                        remedy_for(shape, inputs));
    require_resolution(*layer.map, place);
    const Shape outputs = layer.map->output_shape();
    const Index groups = device.grouped() && !parts_.end_to_end ? isize(device.reached_at.size()) : 1;
    if (const auto kind = activation_kind(device.word("activation")); kind != ActivationKind::none)
      layer.passed_on.push_back(std::make_shared<Activation<S>>(outputs, kind));
    if (const auto kind = normalise_kind(device.word("normalise")); kind != NormaliseKind::none)
      layer.passed_on.push_back(std::make_shared<Normalise<S>>(outputs, kind, groups));
    layer.loss_after = config_.layer_values(next_index()).is("model.local_loss_at", "post") ? isize(layer.passed_on.size()) : 0;
    layer.head =
        prototype_head(place, outputs.size(), groups, 0.0, {.key = "model.device", .remedy = "take a device with more, or fewer classes"});
    parts_.layers.push_back(std::move(layer));
    return outputs;
  }

  // A perturbation that the converters round away says nothing.
  void require_resolution(const ForwardMap<S>& map, const std::string& place) const {
    const auto* instrument = dynamic_cast<const Instrument<S>*>(&map);
    const Values v = config_.layer_values(next_index());
    const bool moves = (v.is("gradient.estimator", "directional") && !v.is("gradient.eps", "measured")) || one_sided(v);
    if (instrument == nullptr || !moves || map.parameter_count() == 0) return;
    // A unit direction moves a parameter by its length over the root of their number.
    Index largest = 0;
    for (const Unit& unit : map.parameter_layout().units) largest = std::max(largest, unit.size());
    const double step = instrument->resolution(), eps = v.number("gradient.eps");
    const double least = 2.0 * step * (one_sided(v) ? 1.0 : std::sqrt(static_cast<double>(largest)));
    if (eps < least)
      throw ConfigError(fmt::format("{}: gradient.eps", place),
                        fmt::format("must move each parameter by two of its steps of {:.3g} (in a range of -1 .. 1)", step),
                        fmt::format("{:g}", eps), fmt::format("use at least {:.3g}", least));
  }

  std::shared_ptr<FrontEnd<S>> front_end(const Shape& input, Index components) const {
    const double power = config_.values().number("model.pca_power");
    // Frequencies mean something where neighbours do.
    if (config_.values().is("model.front_end", "dct") && input.height > 1) return std::make_shared<Cosines<S>>(input, components, power);
    return std::make_shared<Pca<S>>(input, components, power);
  }

  std::shared_ptr<ForwardMap<S>> layer_map(const Values& v, const Shape& input, Index width, Index groups, const std::string& name) const {
    const std::string kind = v.word("model.map");
    if (kind == layer_maps().built_in().front()) return std::make_shared<Dense<S>>(input, width, groups, v.flag("model.skip_zeros"));
    const auto& entry = layer_maps().at(kind);
    if (groups != 1 && !entry.make.takes_groups())
      throw ConfigError(fmt::format("{}: model.groups", name), "a map of one's own has one group unless its factory takes groups",
                        std::to_string(groups), "use 1");
    const NamedNumbers numbers = layer_maps().numbers(kind, parse_numbers(v.word("model.map_options"), "model.map_options"));
    if constexpr (std::is_same_v<S, float>) {
      auto map = entry.make(numbers, input, width, groups);
      if (map->input_shape().size() != input.size() || map->output_shape().size() != width)
        throw ConfigError(fmt::format("{}: model.map", name), fmt::format("must take {} inputs and give {} outputs", input.size(), width),
                          fmt::format("{} and {}", map->input_shape().size(), map->output_shape().size()), "mend its factory");
      if (const Index found = map->parameter_layout().groups; found != groups)
        throw ConfigError(fmt::format("{}: model.map", name), fmt::format("must have {} groups of parameters", groups),
                          std::to_string(found), "mend its factory");
      return map;
    } else
      throw ConfigError("model.map", "a map by name is for networks of float", kind, "build the network from layers");
  }

  Shape add_dense(const Shape& input, Index width, const std::string& name, bool last) {
    const Values v = config_.layer_values(next_index());
    const Index groups = parts_.end_to_end ? 1 : v.integer("model.groups");
    Layer<S> layer;
    layer.name = name;
    layer.map = imperfect(layer_map(v, input, width, groups, name));
    const Shape shape = layer.map->output_shape();
    if (!(parts_.end_to_end && last)) {
      if (const auto kind = activation_kind(v.word("model.activation")); kind != ActivationKind::none)
        layer.passed_on.push_back(std::make_shared<Activation<S>>(shape, kind));
      if (const auto kind = normalise_kind(v.word("model.normalise")); kind != NormaliseKind::none)
        layer.passed_on.push_back(std::make_shared<Normalise<S>>(shape, kind, groups));
    }
    layer.loss_after = v.is("model.local_loss_at", "post") ? isize(layer.passed_on.size()) : 0;
    layer.dropout = last ? 0.0 : v.number("model.dropout");
    layer.head = prototype_head(
        name, shape.size(), groups, 0.0,
        {.key = groups == 1 ? "model.layers" : "model.groups",
         .remedy = groups == 1 ? "widen the layer or use fewer classes" : "widen the layer, use fewer groups or fewer classes"});
    parts_.layers.push_back(std::move(layer));
    return shape;
  }

  // What decides about the outputs of a layer, if they are too few.
  struct Cause {
    const char* key = "";
    const char* remedy = "";
  };

  // by_output: class c is output c of each group.
  std::shared_ptr<Head<S>> prototype_head(const std::string& name, Index outputs, Index groups, double floor, const Cause& cause,
                                          bool by_output = false) const {
    const Index dimension = outputs / groups;
    if (!parts_.end_to_end && head_classes_ > dimension)
      throw ConfigError(cause.key,
                        fmt::format("{} needs at least K = {} outputs{}: a simplex of K prototypes does not fit into fewer dimensions",
                                    name, head_classes_, groups == 1 ? "" : " in every group"),
                        std::to_string(dimension), cause.remedy);
    // End to end no prototype is looked at: zeros where the classes would not fit.
    if (head_classes_ > dimension)
      return std::make_shared<PrototypeHead<S>>(std::vector<Matrix<double>>(usize(groups), Matrix<double>::Zero(head_classes_, dimension)),
                                                floor);
    if (by_output)
      return std::make_shared<PrototypeHead<S>>(
          std::vector<Matrix<double>>(usize(groups), Matrix<double>::Identity(head_classes_, dimension)), floor);
    return std::make_shared<PrototypeHead<S>>(layer_prototypes(head_classes_, outputs, groups, seed_, isize(parts_.layers.size())), floor);
  }

  const Config& config_;
  const DeviceMaps<S>& devices_;
  Index dense_ = 0;  // dense layers so far
  std::uint64_t seed_;
  Index classes_, head_classes_;
  std::shared_ptr<const Executor> executor_;
  NetworkParts<S> parts_;
  std::vector<std::shared_ptr<FrontEnd<S>>> fronts_;
};

}  // namespace

ChipOptions chip_options(const Values& v) {
  const auto number = [&](const char* key) { return v.number(std::string("model.mesh.chip.") + key); };
  const auto integer = [&](const char* key) { return v.integer(std::string("model.mesh.chip.") + key); };
  return {.seed = static_cast<std::uint64_t>(integer("seed")),
          .coupler = number("coupler"),
          .phase = number("phase"),
          .phase_gain = number("phase_gain"),
          .crosstalk = number("crosstalk"),
          .dac_bits = integer("dac_bits"),
          .stuck = number("stuck"),
          .loss_db = number("loss_db"),
          .loss_spread = number("loss_spread"),
          .detector_gain = number("detector_gain"),
          .read_noise = number("read_noise"),
          .adc_bits = integer("adc_bits"),
          .adc_range = number("adc_range"),
          .drift_rms = number("drift_rms"),
          .drift_time = number("drift_time"),
          .age = number("age"),
          .write_s = number("write_s"),
          .row_s = number("row_s")};
}

ImperfectOptions imperfect_options(const Values& v) {
  NamedNumbers numbers;
  for (const ImperfectField& field : imperfect_fields()) numbers[field.name] = v.number("model.imperfect." + field.name);
  return imperfect_options(numbers, "model.imperfect");
}

template <class S>
Network<S> build_network(const Config& config, const Shape& input, Index classes, std::shared_ptr<const Executor> executor,
                         const DeviceMaps<S>& devices) {
  SizeCount(config, input, classes).require_possible();
  if (!devices.empty() && isize(devices.size()) != device_count(config.devices()))
    throw ConfigError("devices", fmt::format("must be the {} of the settings", device_count(config.devices())),
                      std::to_string(devices.size()));
  return NetworkBuilder<S>(config, input, classes, std::move(executor), devices).build();
}

template <class S>
Network<S> initial_network(const Config& config, const Shape& input, Index classes, std::shared_ptr<const Executor> executor,
                           const DeviceMaps<S>& devices) {
  auto network = build_network<S>(config, input, classes, std::move(executor), devices);
  const Values& v = config.values();
  if (v.is("model.kind", "photonic") && !v.word("model.mesh.file").empty()) start_from_mesh_file(v.word("model.mesh.file"), network);
  return network;
}

template Network<float> build_network(const Config&, const Shape&, Index, std::shared_ptr<const Executor>, const DeviceMaps<float>&);
template Network<double> build_network(const Config&, const Shape&, Index, std::shared_ptr<const Executor>, const DeviceMaps<double>&);
template Network<float> initial_network(const Config&, const Shape&, Index, std::shared_ptr<const Executor>, const DeviceMaps<float>&);
template Network<double> initial_network(const Config&, const Shape&, Index, std::shared_ptr<const Executor>, const DeviceMaps<double>&);

}  // namespace ffzero
