#include "Checks.h"
namespace lab {
void checkSampling() {}
void timeSampling() {}
}
