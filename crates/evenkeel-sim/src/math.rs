//! Logarithm, exponential and normal quantile that are equal everywhere.
//!
//! The functions of the platform's mathematical library differ in their last bits from one build and
//! one machine to the next, and a simulation that draws its service times through them would have another
//! event hash on each. These use nothing but the four operations and the square root, which IEEE 754
//! defines to the last bit, and which Rust never fuses or reorders. Their relative error is below 1e-14,
//! which is far more than a service law means.

/// The natural logarithm of two, split so that a multiple of the first part is exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The natural logarithm of a positive, finite number; minus infinity of zero.
#[must_use]
pub fn ln(x: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64;
    if exponent == 0 {
        // Below the normal numbers: lift it into them.
        return ln(x * 18_014_398_509_481_984.0) - 54.0 * core::f64::consts::LN_2;
    }
    let mut exponent = exponent - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln(m) = 2 atanh((m - 1) / (m + 1)), whose series converges fast between the roots of two.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0]
        .iter()
        .fold(1.0 / 21.0, |sum, odd| sum * z + 1.0 / odd);
    let mantissa_ln = 2.0 * s + 2.0 * s * z * series;
    let exponent = exponent as f64;
    exponent * LN_2_HIGH + (mantissa_ln + exponent * LN_2_LOW)
}

/// `e` to the power of `x`; zero or infinity beyond what a double holds.
#[must_use]
pub fn exp(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    let halves = x / core::f64::consts::LN_2;
    #[expect(clippy::cast_possible_truncation, reason = "held within ±1024 above")]
    let power = if halves < 0.0 {
        halves - 0.5
    } else {
        halves + 0.5
    } as i64;
    let n = power as f64;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = [
        12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0,
    ]
    .iter()
    .fold(1.0 + r / 13.0, |sum, degree| 1.0 + r / degree * sum);
    #[expect(clippy::cast_sign_loss, reason = "-1021 ≤ power ≤ 1023")]
    let scale = f64::from_bits(((power + 1023) as u64) << 52);
    series * scale
}

/// The `p`-quantile of the standard normal law, `0 < p < 1` (Wichura, algorithm AS 241, 1988).
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let polynomial = |factors: &[f64], r: f64| factors.iter().fold(0.0, |sum, a| sum * r + a);
    let q = p - 0.5;
    if (-0.425..=0.425).contains(&q) {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTRE_OVER, r) / polynomial(&CENTRE_UNDER, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-ln(tail)).sqrt();
    let value = if r <= 5.0 {
        let r = r - 1.6;
        polynomial(&TAIL_OVER, r) / polynomial(&TAIL_UNDER, r)
    } else {
        let r = r - 5.0;
        polynomial(&FAR_OVER, r) / polynomial(&FAR_UNDER, r)
    };
    if q < 0.0 { -value } else { value }
}

/// The share of the standard normal law at or below `x`.
#[must_use]
pub fn normal_share(x: f64) -> f64 {
    let distance = if x < 0.0 { -x } else { x };
    let above = if distance < 3.0 {
        // The series of the error function, whose terms all have one sign.
        let (mut term, mut sum, mut n) = (distance, distance, 1.0);
        while term > sum * 1e-17 {
            term *= distance * distance / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        0.5 - sum * density(distance)
    } else {
        // Mills' ratio as a continued fraction, which converges fast out here.
        let fraction = (1..=60)
            .rev()
            .fold(distance, |sum, k| distance + f64::from(k) / sum);
        density(distance) / fraction
    };
    if x < 0.0 { above } else { 1.0 - above }
}

fn density(x: f64) -> f64 {
    0.398_942_280_401_432_7 * exp(-x * x / 2.0)
}

const CENTRE_OVER: [f64; 8] = [
    2.509_080_928_730_122_7e3,
    3.343_057_558_358_813e4,
    6.726_577_092_700_87e4,
    4.592_195_393_154_987e4,
    1.373_169_376_550_946e4,
    1.971_590_950_306_551_3e3,
    1.331_416_678_917_843_8e2,
    3.387_132_872_796_366_5,
];
const CENTRE_UNDER: [f64; 8] = [
    5.226_495_278_852_546e3,
    2.872_908_573_572_194_3e4,
    3.930_789_580_009_271e4,
    2.121_379_430_158_66e4,
    5.394_196_021_424_751e3,
    6.871_870_074_920_579e2,
    4.231_333_070_160_091e1,
    1.0,
];
const TAIL_OVER: [f64; 8] = [
    7.745_450_142_783_414e-4,
    2.272_384_498_926_918_4e-2,
    2.417_807_251_774_506e-1,
    1.270_458_252_452_368_4,
    3.647_848_324_763_204_5,
    5.769_497_221_460_691,
    4.630_337_846_156_546,
    1.423_437_110_749_683_5,
];
const TAIL_UNDER: [f64; 8] = [
    1.050_750_071_644_416_9e-9,
    5.475_938_084_995_345e-4,
    1.519_866_656_361_645_7e-2,
    1.481_039_764_274_800_8e-1,
    6.897_673_349_851e-1,
    1.676_384_830_183_803_8,
    2.053_191_626_637_759,
    1.0,
];
const FAR_OVER: [f64; 8] = [
    2.010_334_399_292_288_1e-7,
    2.711_555_568_743_487_6e-5,
    1.242_660_947_388_078_4e-3,
    2.653_218_952_657_612_4e-2,
    2.965_605_718_285_048_7e-1,
    1.784_826_539_917_291_3,
    5.463_784_911_164_114,
    6.657_904_643_501_103,
];
const FAR_UNDER: [f64; 8] = [
    2.044_263_103_389_939_8e-15,
    1.421_511_758_316_446e-7,
    1.846_318_317_510_054_8e-5,
    7.868_691_311_456_133e-4,
    1.487_536_129_085_061_5e-2,
    1.369_298_809_227_358e-1,
    5.998_322_065_558_88e-1,
    1.0,
];

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the platform's own functions are the yardstick here"
)]
mod tests {
    use super::*;

    fn close(ours: f64, theirs: f64) -> bool {
        let scale = if theirs.abs() > 1.0 {
            theirs.abs()
        } else {
            1.0
        };
        (ours - theirs).abs() <= 2e-14 * scale
    }

    #[test]
    fn logarithm_and_exponential_agree_with_the_platform() {
        let mut x = 1e-300;
        while x < 1e300 {
            assert!(close(ln(x), x.ln()), "ln {x}: {} {}", ln(x), x.ln());
            x *= 1.37;
        }
        for step in -7000..7000 {
            let x = f64::from(step) / 10.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!(
                (ours - theirs).abs() <= 4e-14 * theirs,
                "exp {x}: {ours} {theirs}"
            );
        }
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
        assert_eq!((exp(-1000.0), exp(1000.0)), (0.0, f64::INFINITY));
        assert!(
            close(ln(5e-324), 5e-324_f64.ln()),
            "below the normal numbers"
        );
    }

    #[test]
    fn the_normal_quantile_is_the_inverse_of_the_normal_share() {
        assert_eq!(normal_quantile(0.5), 0.0);
        assert!(close(normal_quantile(0.975), 1.959_963_984_540_054));
        assert!(close(normal_share(1.0), 0.841_344_746_068_542_9));
        assert!(close(normal_share(-6.0) * 1e9, 0.986_587_645_037_698_1));
        for permille in 1..1000 {
            let p = f64::from(permille) / 1000.0;
            assert!((normal_share(normal_quantile(p)) - p).abs() < 1e-14, "{p}");
        }
    }

    #[test]
    fn the_bits_are_those_of_every_other_build() {
        // Written down once: a platform, a compiler or an optimisation that changes them fails here.
        let bits = [ln(0.1), exp(1.5), normal_quantile(0.01), normal_share(0.3)].map(f64::to_bits);
        let joined = bits.iter().fold(0_u64, |sum, one| sum.rotate_left(7) ^ one);
        assert_eq!(joined, 0x33d5_64f4_6753_dc51, "{joined:#x}");
    }
}
