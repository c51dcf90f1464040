# Every library that ffzero is built with and, its own libraries being static, also linked with. Read twice: by the project itself and by
# the installed ffzeroConfig.cmake, so that the two can never disagree. All come from Debian 12 or Ubuntu 24.04; nothing is downloaded.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(Eigen3 3.4 NO_MODULE)
find_dependency(fmt 9)
find_dependency(nlohmann_json 3.11)
find_dependency(tomlplusplus 3)
find_dependency(ZLIB)
find_dependency(PNG)
find_dependency(OpenSSL)
find_dependency(CURL)
# OpenBLAS by name: the library pins its number of threads, which no other BLAS lets it do.
set(BLA_VENDOR OpenBLAS)
find_dependency(BLAS)
find_dependency(PkgConfig)
if(NOT TARGET PkgConfig::HWY)
  pkg_check_modules(HWY REQUIRED IMPORTED_TARGET GLOBAL libhwy)
endif()
