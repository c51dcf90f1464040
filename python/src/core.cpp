// The module ffzero._core: what Python needs of the library, without conveniences. The package in python/ffzero is what users import.
// SPDX-License-Identifier: MIT
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/dataset/glyphs.hpp"
#include "ffzero/dataset/npz_dataset.hpp"
#include "ffzero/device/call_map.hpp"
#include "ffzero/device/check.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/report/report.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/run/lab_session.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/settings/configured.hpp"
#include "ffzero/settings/presets.hpp"
#include "ffzero/train/predictor.hpp"

namespace py = pybind11;

namespace {

using ffzero::Index;
using ffzero::Matrix;
using Overrides = std::vector<std::pair<std::string, std::string>>;
template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// Python's threads are let on while ours compute.
using Released = py::gil_scoped_release;
using Held = py::gil_scoped_acquire;

/// Asks Python for signals from time to time, on the thread that may: Ctrl-C stops the training between two steps.
class Interrupts {
 public:
  /// stop: may be None. Held by the caller: the GIL.
  explicit Interrupts(py::object stop) : stop_(std::move(stop)) {}
  /// Called without the GIL.
  bool requested() {
    constexpr std::chrono::milliseconds kBetween{50};
    if (raised_) return true;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kBetween) return false;
    last_ = now;
    const Held held;
    if (PyErr_CheckSignals() != 0) {
      error_ = std::make_unique<py::error_already_set>();
      return raised_ = true;
    }
    return !stop_.is_none() && stop_().cast<bool>();
  }
  /// The exception of a signal handler, if there was one. Called with the GIL.
  void rethrow() {
    if (!error_) return;
    const auto error = std::move(error_);
    throw py::error_already_set(*error);
  }

 private:
  py::object stop_;
  std::chrono::steady_clock::time_point last_{};
  bool raised_ = false;
  std::unique_ptr<py::error_already_set> error_;
};

/// Numbers of the library as an array that Python may read but not write, without a copy. Valid until the library's call returns.
template <class T>
py::array view_of(const T* data, std::vector<py::ssize_t> shape) {
  // A base object keeps NumPy from copying; the data belong to the caller, so it owns nothing.
  py::array array(py::dtype::of<T>(), std::move(shape), data, py::none());
  // By way of the attribute it would cost as much as everything else here.
  py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

template <class S>
py::array_t<S> array_of(const Matrix<S>& m) {
  py::array_t<S> array({m.rows(), m.cols()});
  std::copy(m.data(), m.data() + m.size(), array.mutable_data());
  return array;
}

template <class S>
py::array_t<S> array_of(std::span<const S> values) {
  return py::array_t<S>(static_cast<py::ssize_t>(values.size()), values.data());
}

Matrix<float> matrix_of(const py::object& values, const std::string& place) {
  const auto array = Array<float>::ensure(values);
  if (!array) {
    PyErr_Clear();
    throw py::type_error(place + ": must be an array of real numbers; got " + std::string(py::str(py::type::of(values))));
  }
  if (array.ndim() != 2) throw py::value_error(place + ": must have two dimensions; got " + std::to_string(array.ndim()));
  return Eigen::Map<const Matrix<float>>(array.data(), array.shape(0), array.shape(1));
}

ffzero::NpyArray npy_of(const py::array& given) {
  const auto contiguous = py::array::ensure(given, py::array::c_style);
  std::vector<Index> shape(contiguous.shape(), contiguous.shape() + contiguous.ndim());
  const auto of = [&]<class T>(T) {
    const auto typed = Array<T>::ensure(contiguous);
    return ffzero::NpyArray::of<T>({typed.data(), static_cast<std::size_t>(typed.size())}, shape);
  };
  const char kind = contiguous.dtype().kind();
  if (kind == 'u' && contiguous.itemsize() == 1) return of(std::uint8_t{});
  if (kind == 'i' || kind == 'u' || kind == 'b') return of(std::int64_t{});
  if (kind == 'f' && contiguous.itemsize() == 4) return of(float{});
  if (kind == 'f') return of(double{});
  throw py::type_error("arrays must hold real numbers; got dtype " + std::string(py::str(contiguous.dtype())));
}

ffzero::NpzArchive archive_of(const py::dict& arrays) {
  ffzero::NpzArchive archive;
  for (const auto& [name, value] : arrays) archive[name.cast<std::string>()] = npy_of(value.cast<py::array>());
  return archive;
}

/// x_train, y_train and, if there are any, w_train, x_test, y_test. Without test samples the first of training take their place; what is
/// measured on them is not shown.
ffzero::Splits splits_of(const py::dict& arrays, const std::string& task) {
  ffzero::NpzArchive archive = archive_of(arrays);
  const bool own_test = archive.contains("x_test");
  if (!own_test) {
    archive["x_test"] = archive.at("x_train");
    archive["y_test"] = archive.at("y_train");
  }
  const Released released;
  ffzero::Splits splits =
      ffzero::npz_dataset(std::move(archive), task == "regression" ? ffzero::Task::regression : ffzero::Task::classification, "data",
                          arrays.contains("w_train") ? "w_train" : "");
  constexpr Index kStandIns = 64;
  if (!own_test) splits.test = splits.train.slice(0, std::min(kStandIns, splits.train.size()));
  return splits;
}

/// A device for training: a Python callable, or a connection.
struct Device {
  std::shared_ptr<ffzero::ForwardMap<float>> map;
  std::string name;
  [[nodiscard]] const ffzero::Instrument<float>& instrument() const {
    if (!map) throw py::value_error(name + ": is closed");
    return dynamic_cast<const ffzero::Instrument<float>&>(*map);
  }
};

py::array rows_of(const ffzero::ConstMatrixRef<float>& m, Matrix<float>& copy) {
  const bool whole = m.outerStride() == m.cols() || m.rows() == 1;
  if (!whole) copy = m;
  return view_of(whole ? m.data() : copy.data(), {m.rows(), m.cols()});
}

py::array values_of(std::span<const float> values) { return view_of(values.data(), {static_cast<py::ssize_t>(values.size())}); }

// What a Python function returns for views of the library's numbers, as an array of `rows` x `cols` (rows 0: one dimension).
Array<float> answer_of(const py::object& answer, const std::string& place, Index rows, Index cols) {
  const auto wanted = [&] {
    return rows == 0 ? "(" + std::to_string(cols) + ",)" : "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")";
  };
  if (answer.is_none()) throw py::type_error(place + ": must return an array of shape " + wanted() + "; got None");
  auto array = Array<float>::ensure(answer);
  if (!array) {
    PyErr_Clear();
    throw py::type_error(place + ": must return an array of numbers of shape " + wanted() + "; got " +
                         std::string(py::str(py::type::of(answer))));
  }
  const bool fits =
      rows == 0 ? array.ndim() == 1 && array.shape(0) == cols : array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == cols;
  if (!fits)
    throw py::value_error(place + ": must return an array of shape " + wanted() + "; got " +
                          std::string(py::str(py::tuple(answer.attr("shape")))));
  return array;
}

// One call of a Python function with views of the library's numbers; what it returns is copied into y.
void call_python(const py::object& function, const std::string& name, std::span<const float> theta, const ffzero::ConstMatrixRef<float>& x,
                 Matrix<float>& y) {
  const Held held;
  const auto parameters = values_of(theta);
  Matrix<float> copy;
  const Array<float> readings = answer_of(function(parameters, rows_of(x, copy)), name, y.rows(), y.cols());
  std::copy(readings.data(), readings.data() + readings.size(), y.data());
}

ffzero::CallDescription description_of(Index inputs, Index outputs, Index parameters, const py::list& ranges, double noise,
                                       const std::string& name) {
  ffzero::CallDescription description{
      .inputs = inputs, .outputs = outputs, .parameters = parameters, .ranges = {}, .noise = noise, .name = name};
  for (const auto& item : ranges) {
    const auto r = item.cast<py::dict>();
    const auto number = [&](const char* key, double otherwise) { return r.contains(key) ? r[key].cast<double>() : otherwise; };
    ffzero::ParameterRange range;
    range.first = r["first"].cast<Index>();
    range.count = r["count"].cast<Index>();
    range.min = number("min", range.min);
    range.max = number("max", range.max);
    range.step = number("step", 0.0);
    range.safe = number("safe", 0.0);
    range.period = number("period", 0.0);
    if (r.contains("unit")) range.unit = r["unit"].cast<std::string>();
    description.ranges.push_back(range);
  }
  return description;
}

/// functions: "pullback" and, if there are any, "forward" and "learn"; empty: no twin. shared: holds a function whatever thread drops it
template <class Shared>
ffzero::CallTwin twin_of(const py::dict& functions, const std::string& name, const Shared& shared) {
  ffzero::CallTwin twin;
  if (functions.contains("pullback"))
    twin.pullback = [f = shared(functions["pullback"]), name](std::span<const float> theta, const ffzero::ConstMatrixRef<float>& x,
                                                              const ffzero::ConstMatrixRef<float>& gy, std::span<float> gtheta) {
      const Held held;
      Matrix<float> x_copy, gy_copy;
      const py::object answer = (*f)(values_of(theta), rows_of(x, x_copy), rows_of(gy, gy_copy));
      const Array<float> slopes = answer_of(answer, name + ": pullback of the twin", 0, static_cast<Index>(gtheta.size()));
      std::copy(slopes.data(), slopes.data() + slopes.size(), gtheta.begin());
    };
  if (functions.contains("forward"))
    twin.forward = [f = shared(functions["forward"]), name](std::span<const float> theta, const ffzero::ConstMatrixRef<float>& x,
                                                            Matrix<float>& y) {
      const Held held;
      Matrix<float> x_copy;
      const Array<float> said = answer_of((*f)(values_of(theta), rows_of(x, x_copy)), name + ": forward of the twin", y.rows(), y.cols());
      std::copy(said.data(), said.data() + said.size(), y.data());
    };
  if (functions.contains("learn"))
    twin.learn = [f = shared(functions["learn"])](std::span<const float> theta, const ffzero::ConstMatrixRef<float>& x,
                                                  const ffzero::ConstMatrixRef<float>& y) {
      const Held held;
      Matrix<float> x_copy, y_copy;
      (*f)(values_of(theta), rows_of(x, x_copy), rows_of(y, y_copy));
    };
  return twin;
}

Device call_device(const py::object& function, Index inputs, Index outputs, Index parameters, const py::list& ranges, double noise,
                   const std::string& name, const py::object& safe, const py::dict& twin) {
  // Whatever thread lets go of them last, Python's counts are changed with the GIL.
  const auto shared = [](const py::object& o) {
    return std::shared_ptr<py::object>(new py::object(o), [](py::object* p) {
      const Held held;
      delete p;
    });
  };
  const auto call = [function = shared(function), name](std::span<const std::span<const float>> thetas,
                                                        const ffzero::ConstMatrixRef<float>& x, std::span<Matrix<float>> ys) {
    for (std::size_t i = 0; i < thetas.size(); ++i) call_python(*function, name, thetas[i], x, ys[i]);
  };
  std::function<void(std::span<const float>)> make_safe;
  if (!safe.is_none())
    make_safe = [safe = shared(safe)](std::span<const float> values) {
      const Held held;
      (*safe)(array_of(values));
    };
  return {std::make_shared<ffzero::CallMap>(description_of(inputs, outputs, parameters, ranges, noise, name), call, make_safe,
                                            twin_of(twin, name, shared)),
          name};
}

py::dict receipt_of(const Device& device) {
  const ffzero::DeviceReceipt r = device.instrument().receipt();
  return py::dict(py::arg("readings") = r.rows, py::arg("evaluations") = r.evaluations, py::arg("writes") = r.sets,
                  py::arg("values") = r.values, py::arg("failures") = r.failed, py::arg("retries") = r.retries,
                  py::arg("restarts") = r.restarts, py::arg("projected") = r.projected, py::arg("seconds") = r.seconds);
}

py::array_t<float> evaluate_device(const Device& device, const py::object& theta, const py::object& inputs) {
  static_cast<void>(device.instrument());
  const auto values = Array<float>::ensure(theta);
  if (!values || values.ndim() != 1) throw py::value_error(device.name + ": theta must be an array of one dimension");
  const Matrix<float> x = matrix_of(inputs, device.name + ": x");
  const ffzero::ForwardMap<float>& map = *device.map;
  if (values.size() != map.parameter_count() || x.cols() != map.input_shape().size())
    throw py::value_error(device.name + ": takes " + std::to_string(map.parameter_count()) + " parameters and " +
                          std::to_string(map.input_shape().size()) + " inputs; got " + std::to_string(values.size()) + " and " +
                          std::to_string(x.cols()));
  Matrix<float> y(x.rows(), map.output_shape().size());
  {
    const Released released;
    map.forward({values.data(), static_cast<std::size_t>(values.size())}, x, y);
  }
  return array_of(y);
}

/// A trained network, and what its training came to.
struct Model {
  ffzero::TrainerState state;
  std::string config, summary;
  std::shared_ptr<const ffzero::Predictor> predictor;
  bool interrupted = false;
  ffzero::Index steps = 0, fewest_steps = 0;  ///< of each layer, and how many learning usually needs; 0: not known
};

ffzero::DeviceAccess access_of(const std::vector<Device>& devices) {
  ffzero::DeviceAccess access;
  for (const Device& device : devices) access.addresses.push_back("python:" + device.name);
  return access;
}

ffzero::Config config_of(const std::string& toml, const Overrides& overrides, const std::vector<Device>& devices) {
  ffzero::ConfigSources sources;
  sources.overrides = overrides;
  sources.devices = access_of(devices);
  return ffzero::Config::parse(toml, "config", sources);
}

ffzero::DeviceMaps<float> maps_of(const std::vector<Device>& devices) {
  ffzero::DeviceMaps<float> maps;
  for (const Device& device : devices) {
    static_cast<void>(device.instrument());
    maps.push_back(device.map);
  }
  return maps;
}

std::shared_ptr<const ffzero::Predictor> predictor_of(const ffzero::Config& config, const ffzero::TrainerState& state,
                                                      const ffzero::DeviceMaps<float>& maps, const std::string& place) {
  // One sample after another gets the same answer as many at once, whatever the number of threads; one thread is enough for a table.
  auto executor = std::make_shared<const ffzero::Executor>(1);
  const ffzero::Shape encoded = ffzero::Encoder(ffzero::encoder_options(config.values()), state.data.shape).output_shape();
  auto network = ffzero::build_network<float>(config, encoded, state.classes, executor, maps);
  ffzero::TrainerState whole = state;
  whole.prediction = ffzero::prediction_plan(config.plan(network.layers()));
  return std::make_shared<const ffzero::Predictor>(std::move(network), whole, place, executor);
}

/// One training. on_epoch gets a JSON text after each epoch; stop says whether to end early. An exception of a callback ends it, and
/// arrives as itself.
Model fit(const std::string& toml, const Overrides& overrides, const py::dict& arrays, const std::string& task,
          const std::vector<Device>& devices, int threads, const py::object& on_epoch, const py::object& stop) {
  const ffzero::Splits splits = splits_of(arrays, task);
  ffzero::Config config = config_of(toml, overrides, devices);
  const ffzero::DeviceMaps<float> maps = maps_of(devices);
  Interrupts interrupts(stop);
  const std::string metric = task == "regression" ? "r2" : "accuracy";
  Model model;
  {
    const Released released;
    config.resolve(ffzero::data_facts(splits));
    const auto executor = std::make_shared<const ffzero::Executor>(threads);
    ffzero::TrainEvents events;
    events.stop_requested = [&] { return interrupts.requested(); };
    if (!on_epoch.is_none())
      events.epoch_done = [&](const ffzero::EpochRecord& record) {
        const Held held;
        on_epoch(ffzero::to_json(record, metric).dump());
      };
    const ffzero::Index size = splits.train.size(), batch = std::min(size, config.values().integer("training.batch_size"));
    model.steps = config.values().integer("training.epochs") * ffzero::divide_up(size, batch);
    model.fewest_steps = ffzero::fewest_steps(config.values(), ffzero::data_facts(splits)).value_or(0);
    auto trainer = ffzero::make_trainer<float>(config, splits, executor, events, maps);
    const ffzero::RunRecord record = trainer.run();
    model.state = trainer.state();
    model.interrupted = record.stopped_by == "interrupt";
    model.summary = ffzero::to_json(record).dump();
    model.config = config.to_toml();
    if (!model.interrupted || !record.layers.empty()) model.predictor = predictor_of(config, model.state, maps, "training");
  }
  interrupts.rethrow();
  return model;
}

/// From the bytes of a checkpoint.
Model load_model(const std::string& bytes, const std::string& place, const std::vector<Device>& devices) {
  const ffzero::DeviceMaps<float> maps = maps_of(devices);
  const ffzero::DeviceAccess access = access_of(devices);
  const Released released;
  ffzero::LoadedRun run =
      ffzero::load_run(ffzero::parse_npz({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, place), place, access);
  Model model;
  model.config = run.config.to_toml();
  run.state.data.name = run.config.values().word("dataset.name");
  model.predictor = maps.empty() && run.config.devices().empty()
                        ? std::make_shared<const ffzero::Predictor>(ffzero::TrainedNetwork(run, 1).predictor())
                        : predictor_of(run.config, run.state, maps, place);
  model.state = std::move(run.state);
  return model;
}

py::dict predict(const Model& model, const py::object& samples) {
  if (!model.predictor) throw py::value_error("the network was interrupted before its first layer was trained");
  const Matrix<float> x = matrix_of(samples, "X");
  std::optional<ffzero::Opinions> opinions;
  Matrix<double> values;
  {
    const Released released;
    opinions = model.predictor->predict(x);
    values = model.predictor->values(*opinions);
  }
  const std::size_t deciding = model.predictor->deciding_voter();
  py::list scores;
  for (const auto& s : opinions->scores) scores.append(array_of(s));
  py::dict result;
  result["scores"] = scores;
  result["deciding"] = deciding;
  result["decision"] = array_of(std::span<const std::int32_t>(opinions->decision));
  result["values"] = array_of(values);
  return result;
}

py::dict request_of(const ffzero::RequestQueue::Request& r) {
  return py::dict(py::arg("id") = r.id, py::arg("device") = r.device, py::arg("theta") = array_of(std::span<const float>(r.theta)),
                  py::arg("x") = array_of(r.x));
}

/// ask and tell.
class Session {
 public:
  Session(const std::string& toml, const Overrides& overrides, const py::dict& arrays, const std::string& task, const py::list& devices,
          int threads, const std::string& saved) {
    std::vector<ffzero::CallDescription> described;
    std::vector<Device> named;
    for (const auto& item : devices) {
      const auto d = item.cast<py::dict>();
      const auto name = d["name"].cast<std::string>();
      described.push_back(description_of(d["inputs"].cast<Index>(), d["outputs"].cast<Index>(), d["parameters"].cast<Index>(),
                                         d["ranges"].cast<py::list>(), d["noise"].cast<double>(), name));
      named.push_back({nullptr, name});
    }
    ffzero::Splits splits = splits_of(arrays, task);
    ffzero::Config config = config_of(toml, overrides, named);
    const Released released;
    session_ = std::make_unique<ffzero::LabSession>(std::move(config), std::move(splits), std::move(described), threads, saved);
  }
  ~Session() { close(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The next request; None: training is over. Python's signals are served meanwhile.
  py::object ask(double seconds) {
    constexpr double kSlice = 0.05;
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
      std::optional<ffzero::RequestQueue::Request> request;
      {
        const Released released;
        request = open().ask(seconds < 0.0 ? kSlice : std::min(kSlice, seconds));
      }
      if (request) return request_of(*request);
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (open().finished()) return py::none();
      if (seconds >= 0.0 && std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() >= seconds) return py::none();
    }
  }
  void tell(std::uint64_t id, const py::object& y) {
    const Matrix<float> answer = matrix_of(y, "the answer");
    const Released released;
    open().tell(id, answer);
  }
  void fail(std::uint64_t id, bool retry, const std::string& why) { open().fail(id, retry, why); }
  [[nodiscard]] bool finished() { return open().finished(); }
  void save(const std::string& file) {
    const Released released;
    open().save(file);
  }
  Model result() {
    Model model;
    const Released released;
    const ffzero::TrainResult& result = open().result();
    model.state = result.state;
    model.summary = ffzero::to_json(result.record).dump();
    model.config = open().config().to_toml();
    return model;
  }
  void close() {
    if (!session_) return;
    const Released released;
    session_.reset();
  }

 private:
  ffzero::LabSession& open() {
    if (!session_) throw py::value_error("the session is closed");
    return *session_;
  }
  std::unique_ptr<ffzero::LabSession> session_;
};

py::list check_address(const std::string& address, bool out_of_range, std::int64_t calls) {
  std::vector<ffzero::CheckStep> steps;
  {
    const Released released;
    const ffzero::DeviceAddress where = ffzero::parse_device_address(address);
    ffzero::CheckOptions options;
    options.out_of_range = out_of_range;
    options.calls = calls;
    steps = ffzero::check_device(where, options);
  }
  py::list result;
  for (const auto& step : steps) result.append(py::make_tuple(step.name, std::string(ffzero::to_string(step.status)), step.detail));
  return result;
}

/// As `ffzero train`: into a run folder. arrays: x_train, y_train, x_test, y_test, or none. devices: in place of addresses, or none
void run_folder(const std::string& toml, const Overrides& overrides, const std::string& out, bool resume, bool report, int threads,
                const py::object& on_epoch, const py::object& stop, const py::dict& arrays, const std::vector<Device>& devices,
                const Overrides& changes) {
  Interrupts interrupts(stop);
  ffzero::RunRequest request;
  request.threads = threads;
  request.changes = changes;
  if (!arrays.empty()) request.arrays = std::make_shared<const ffzero::NpzArchive>(archive_of(arrays));
  request.devices = access_of(devices);
  request.maps = maps_of(devices);
  if (resume) {
    request.resume = out;
  } else {
    request.sources.text = toml;
    request.sources.overrides = overrides;
    request.out = out;
  }
  ffzero::RunEvents events;
  events.stop_requested = [&] { return interrupts.requested(); };
  if (!on_epoch.is_none())
    events.epoch_done = [&](const ffzero::EpochRecord& record, const std::string& metric) {
      const Held held;
      on_epoch(ffzero::to_json(record, metric).dump());
    };
  if (report)
    events.finished = [](const std::filesystem::path& folder, bool earlier) {
      if (!earlier) ffzero::report_run(folder, [](const std::string&) {});
    };
  {
    const Released released;
    static_cast<void>(ffzero::run_training(request, events));
  }
  interrupts.rethrow();
}

void translate(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ffzero::Error& e) {
    const py::object package = py::module_::import("ffzero._errors");
    const char* name = "FfzeroError";
    switch (e.kind()) {
      case ffzero::ErrorKind::config:
        name = "ConfigError";
        break;
      case ffzero::ErrorKind::usage:
        name = "UsageError";
        break;
      case ffzero::ErrorKind::data:
        name = "DataError";
        break;
      case ffzero::ErrorKind::device:
        name = "DeviceError";
        break;
      case ffzero::ErrorKind::check:
        name = "CheckError";
        break;
      case ffzero::ErrorKind::diverged:
        name = "DivergedError";
        break;
      case ffzero::ErrorKind::output:
        name = "OutputError";
        break;
      case ffzero::ErrorKind::defect:
        break;
    }
    PyErr_SetString(package.attr(name).ptr(), e.what());
  }
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "What the package ffzero needs of the C++ library.";
  py::register_exception_translator(translate);
  m.attr("__version__") = ffzero::version();

  py::class_<Device>(m, "Device")
      .def_readonly("name", &Device::name)
      .def_property_readonly("inputs",
                             [](const Device& d) {
                               static_cast<void>(d.instrument());
                               return d.map->input_shape().size();
                             })
      .def_property_readonly("outputs",
                             [](const Device& d) {
                               static_cast<void>(d.instrument());
                               return d.map->output_shape().size();
                             })
      .def_property_readonly("parameters",
                             [](const Device& d) {
                               static_cast<void>(d.instrument());
                               return d.map->parameter_count();
                             })
      .def("receipt", &receipt_of)
      .def("evaluate", &evaluate_device, py::arg("theta"), py::arg("x"))
      .def("safe",
           [](const Device& d) {
             const Released released;
             d.instrument().safe();
           })
      .def("close", [](Device& d) {
        const auto map = std::exchange(d.map, nullptr);
        const Released released;
        if (map) dynamic_cast<const ffzero::Instrument<float>&>(*map).safe();
      });
  m.def("call_device", &call_device, py::arg("function"), py::arg("inputs"), py::arg("outputs"), py::arg("parameters"), py::arg("ranges"),
        py::arg("noise"), py::arg("name"), py::arg("safe"), py::arg("twin"));
  m.def(
      "connect",
      [](const std::string& address) {
        const Released released;
        return Device{std::make_shared<ffzero::DeviceMap<float>>(address), address};
      },
      py::arg("address"));
  m.def("check_address", &check_address, py::arg("address"), py::arg("out_of_range"), py::arg("calls"));

  py::class_<Model>(m, "Model")
      .def_property_readonly("config", [](const Model& self) { return self.config; })
      .def_property_readonly("summary", [](const Model& self) { return self.summary; })
      .def_property_readonly("interrupted", [](const Model& self) { return self.interrupted; })
      .def_property_readonly("forward_evals", [](const Model& self) { return self.state.ledger.total().training; })
      .def_property_readonly("epochs", [](const Model& self) { return self.state.records.size(); })
      .def_property_readonly("steps", [](const Model& self) { return self.steps; })
      .def_property_readonly("fewest_steps", [](const Model& self) { return self.fewest_steps; })
      .def_property_readonly("class_names", [](const Model& self) { return self.state.data.class_names; })
      .def_property_readonly("class_texts", [](const Model& self) { return self.state.data.class_texts; })
      .def_property_readonly("task", [](const Model& self) { return to_string(self.state.data.task); })
      .def_property_readonly("features", [](const Model& self) { return self.state.data.shape.size(); })
      .def("predict", &predict, py::arg("samples"))
      .def("to_bytes", [](const Model& self) { return py::bytes(ffzero::npz_bytes(ffzero::checkpoint_of(self.state))); });
  m.def("fit", &fit, py::arg("toml"), py::arg("overrides"), py::arg("arrays"), py::arg("task"), py::arg("devices"), py::arg("threads"),
        py::arg("on_epoch"), py::arg("stop"));
  m.def("run_training", &run_folder, py::arg("toml"), py::arg("overrides"), py::arg("out"), py::arg("resume"), py::arg("report"),
        py::arg("threads"), py::arg("on_epoch"), py::arg("stop"), py::arg("arrays"), py::arg("devices"), py::arg("changes"));
  m.def("load_model", &load_model, py::arg("data"), py::arg("place"), py::arg("devices"));

  py::class_<Session>(m, "Session")
      .def(py::init<const std::string&, const Overrides&, const py::dict&, const std::string&, const py::list&, int, const std::string&>(),
           py::arg("toml"), py::arg("overrides"), py::arg("arrays"), py::arg("task"), py::arg("devices"), py::arg("threads"),
           py::arg("saved"))
      .def("ask", &Session::ask, py::arg("seconds"))
      .def("tell", &Session::tell, py::arg("id"), py::arg("y"))
      .def("fail", &Session::fail, py::arg("id"), py::arg("retry"), py::arg("why"))
      .def_property_readonly("finished", &Session::finished)
      .def("save", &Session::save, py::arg("file"))
      .def("result", &Session::result)
      .def("close", &Session::close);

  m.def(
      "make_glyphs",
      [](std::uint64_t seed, int train, int test) {
        const ffzero::Splits splits = ffzero::make_glyphs(seed, train, test);
        const auto images = [](const ffzero::Dataset& data) {
          const ffzero::Shape& shape = data.shape();
          py::array_t<std::uint8_t> x({data.size(), shape.height, shape.width});
          for (Index i = 0; i < data.size(); ++i) {
            const auto bytes = data.bytes(i);
            std::copy(bytes.begin(), bytes.end(), x.mutable_data() + i * shape.size());
          }
          return x;
        };
        return py::make_tuple(images(splits.train), array_of(splits.train.labels()), images(splits.test), array_of(splits.test.labels()));
      },
      py::arg("seed"), py::arg("train"), py::arg("test"));
}
