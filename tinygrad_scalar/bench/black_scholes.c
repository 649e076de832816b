/* The price of a European call and its five sensitivities, forward and adjoint by hand. */
#include <math.h>

static double cdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
static double pdf(double x) { return 0.39894228040143267794 * exp(-0.5 * x * x); }

void black_scholes(long n, const double *restrict S, const double *restrict K,
                   const double *restrict T, const double *restrict r, const double *restrict v,
                   double *restrict price, double *restrict dS, double *restrict dK,
                   double *restrict dT, double *restrict dr, double *restrict dv) {
    for (long i = 0; i < n; i++) {
        double root = sqrt(T[i]), width = v[i] * root;
        double d1 = (log(S[i] / K[i]) + (r[i] + 0.5 * v[i] * v[i]) * T[i]) / width;
        double d2 = d1 - width;
        double N1 = cdf(d1), N2 = cdf(d2), discount = exp(-r[i] * T[i]);
        price[i] = S[i] * N1 - K[i] * discount * N2;
        /* the adjoints, from the price down */
        double a_d2 = -K[i] * discount * pdf(d2);
        double a_discount = -K[i] * N2;
        double a_d1 = S[i] * pdf(d1) + a_d2;
        double a_numerator = a_d1 / width;
        double a_width = -a_d1 * d1 / width - a_d2;
        double a_root = a_width * v[i];
        dS[i] = N1 + a_numerator / S[i];
        dK[i] = -discount * N2 - a_numerator / K[i];
        dT[i] = a_numerator * (r[i] + 0.5 * v[i] * v[i]) - a_discount * r[i] * discount
                + 0.5 * a_root / root;
        dr[i] = a_numerator * T[i] - a_discount * T[i] * discount;
        dv[i] = a_numerator * v[i] * T[i] + a_width * root;
    }
}
