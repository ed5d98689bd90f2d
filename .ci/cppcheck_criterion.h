/* What cppcheck, which does not read system headers, has to know of Criterion. */
#define Test(suite, name, ...) void suite##_##name(void)
#define TestSuite(name, ...) extern int suite_##name
#define ParameterizedTest(parameter, suite, name, ...) void suite##_##name(parameter)
#define ParameterizedTestParameters(suite, name) struct criterion_test_params suite##_##name##_parameters(void)
#define TheoryDataPoints(suite, name) void *suite##_##name##_points[]
#define Theory(parameters, suite, name, ...) void suite##_##name parameters
