// fmt's library, compiled once: Debian has it as a shared library only, and as headers alone every file would compile it again.
// The templates are those that fmt 9 declares `extern` or leaves to its library (its src/format.cc).
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
namespace detail {
template auto dragonbox::to_decimal(float number) noexcept -> dragonbox::decimal_fp<float>;
template auto dragonbox::to_decimal(double number) noexcept -> dragonbox::decimal_fp<double>;
template locale_ref::locale_ref(const std::locale &locale);
template auto locale_ref::get<std::locale>() const -> std::locale;
template auto thousands_sep_impl(locale_ref locale) -> thousands_sep_result<char>;
template auto decimal_point_impl(locale_ref locale) -> char;
template void buffer<char>::append(const char *begin, const char *end);
template void vformat_to(buffer<char> &out, string_view format, basic_format_args<buffer_context<char>> arguments, locale_ref locale);
} // namespace detail
FMT_END_NAMESPACE
