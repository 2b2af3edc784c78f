/* test_metrics_address.c - where metrics may be served. */
#include "tests/unit/unit.h"

#include "daemon/metrics_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

START_TEST(an_address_of_this_machine_is_taken)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct sockaddr_storage address;
    socklen_t size;

    ck_assert_int_eq(metrics_address("127.0.0.1:9177", &address, &size, &err), 0);
    ck_assert_int_eq(address.ss_family, AF_INET);
    ck_assert_int_eq(ntohs(((struct sockaddr_in *)&address)->sin_port), 9177);
    ck_assert_int_eq(ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr),
                     INADDR_LOOPBACK);

    ck_assert_int_eq(metrics_address("[::1]:65535", &address, &size, &err), 0);
    ck_assert_int_eq(address.ss_family, AF_INET6);
    ck_assert_int_eq(ntohs(((struct sockaddr_in6 *)&address)->sin6_port), 65535);
    ck_assert(IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address)->sin6_addr));

    ck_assert_int_eq(metrics_address("unix:/run/m", &address, &size, &err), 0);
    ck_assert_int_eq(address.ss_family, AF_UNIX);
    ck_assert_str_eq(((struct sockaddr_un *)&address)->sun_path, "/run/m");
}
END_TEST

static const char *const wrong[] = {
    "",
    "9177",
    "127.0.0.1",
    "127.0.0.1:",
    ":9177",
    "0.0.0.0:1",
    "127.0.0.2:1",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "[::1]:",
    "[::]:9177",
    "127.0.0.1:1x",
    "127.0.0.1: 1",
    "127.0.0.1:00001x",
    "unix:",
    "unix:relative",
    "localhost:1",
    "127.0.0.1:999999",
    "unix:/a/path/that/does/not/fit/a/socket/address/because/it/is/longer/than/one/"
    "hundred/and/seven/bytes/all/in/all/and/then/some"};

START_TEST(any_other_address_is_refused)
{
    struct lighter_error err = LIGHTER_ERROR_INIT;
    struct sockaddr_storage address;
    socklen_t size;

    ck_assert_int_eq(metrics_address(wrong[_i], &address, &size, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "expects 127.0.0.1:PORT"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("metrics_address");
    TCase *tcase = unit_case(suite, "address");

    tcase_add_test(tcase, an_address_of_this_machine_is_taken);
    tcase_add_loop_test(tcase, any_other_address_is_refused, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    return unit_main(suite);
}
