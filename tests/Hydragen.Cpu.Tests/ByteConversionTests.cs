using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu.Tests;

/// <summary>The vector conversions of bytes give the bits of the scalar ones.</summary>
public sealed unsafe class ByteConversionTests
{
    private static readonly ElementType[] Types = [ElementType.Int8, ElementType.Float8E4M3, ElementType.Float8E5M2];

    public static TheoryData<string> Converters => [.. Implementations.Keys];

    private static Dictionary<string, ByteConverter> Implementations
    {
        get
        {
            var converters = new Dictionary<string, ByteConverter> { ["128"] = new ByteConverter<Simd128, Vector128<float>>() };
            foreach (string name in InstructionSets.Names)
            {
                if (name == "avx2") converters["256"] = new ByteConverter<Simd256, Vector256<float>>();
                if (name == "avx512") converters["512"] = new ByteConverter<Simd512, Vector512<float>>();
            }
            return converters;
        }
    }

    [Theory]
    [MemberData(nameof(Converters))]
    public void Every_pattern_is_widened_exactly_wherever_it_lies(string name)
    {
        ByteConverter converter = Implementations[name];
        byte* source = stackalloc byte[256 + 32];
        float* wide = stackalloc float[256 + 32];
        foreach (ElementType type in Types)
        {
            foreach (int count in (int[])[32, 64, 96, 256, 288])
            {
                for (int i = 0; i < count; i++) source[i] = (byte)(i * 7);
                converter.PairsToSingle(source, type, count, wide, 0);
                for (int i = 0; i < count; i++)
                {
                    // Row r of 16 pairs becomes rows 2r and 2r + 1.
                    int row = i / 32, lane = i % 32 / 2, half = i % 2;
                    Assert.Equal(Widened(source[i], type), wide[row * 32 + half * 16 + lane]);
                }
            }
        }
    }

    [Fact]
    public void Every_pattern_is_widened_to_BF16_exactly()
    {
        if (!ByteTable.IsSupported) Assert.Skip("The processor has no AVX-512 VBMI.");
        byte* source = stackalloc byte[256];
        ushort* wide = stackalloc ushort[256];
        for (int i = 0; i < 256; i++) source[i] = (byte)i;
        foreach (ElementType type in Types)
        {
            foreach (int count in (int[])[32, 96, 256])
            {
                ByteTable.ToPairs(source, type, count, wide, 0);
                for (int i = 0; i < count; i++) Assert.Equal(Widened(source[i], type), BFloat16Bits.ToSingle(wide[i]));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Converters))]
    public void Numbers_are_rounded_as_the_scalar_conversions_do(string name)
    {
        ByteConverter converter = Implementations[name];
        var random = new Random(3);
        for (int repeat = 0; repeat < 3000; repeat++)
        {
            int count = 8 * (1 + repeat % 17);
            var vector = new float[count];
            for (int i = 0; i < count; i++)
            {
                vector[i] = (repeat % 4) switch
                {
                    0 => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)),
                    1 => MathF.ScaleB(random.NextSingle() - 0.5f, random.Next(-20, 20)),
                    // Between neighbours of FP8 and of levels there are ties.
                    2 => MathF.ScaleB(random.Next(-64, 64), random.Next(-20, 12)),
                    _ => random.Next(-254, 255) / 2f,
                };
            }
            // Whole vectors of INT8 become NaN with one of them, so most have none.
            if (repeat % 8 != 0) vector = Array.ConvertAll(vector, x => float.IsNaN(x) ? 1 : x);
            Verify(converter, vector);
        }
        Verify(converter, [0, -0f, float.PositiveInfinity, float.NegativeInfinity, 448, 464, 57344, 61440]);
        Verify(converter, [float.NaN, 1, -1, 2, 3, 4, 5, 6]);
        Verify(converter, new float[8]);
        Verify(converter, [float.Epsilon, -float.Epsilon, 1e-30f, 0, 0, 0, 0, 0]);
    }

    private static void Verify(ByteConverter converter, float[] vector)
    {
        byte[] bytes = new byte[vector.Length];
        var levels = new sbyte[vector.Length];
        foreach (ElementType type in Types)
        {
            Half scale;
            fixed (float* source = vector)
            fixed (byte* destination = bytes) scale = converter.FromSingle(source, type, vector.Length, destination);
            Half expectedScale = type == ElementType.Int8 ? Int8Levels.Quantize(vector, levels) : (Half)1;
            Assert.Equal(BitConverter.HalfToUInt16Bits(expectedScale), BitConverter.HalfToUInt16Bits(scale));
            for (int i = 0; i < vector.Length; i++)
            {
                float expected = type == ElementType.Int8 ? levels[i] : Float8Bits.ToSingle(Float8Bits.FromSingle(vector[i], type), type);
                Assert.Equal(expected, Define(bytes[i], type));
            }
        }
    }

    /// <summary>Levels are fractions of 128.</summary>
    private static float Widened(byte bits, ElementType type) => Define(bits, type) / (type == ElementType.Int8 ? 128 : 1);

    private static float Define(byte bits, ElementType type) =>
        type == ElementType.Int8 ? (bits & 0x7F) * (bits >= 0x80 ? -1 : 1) : Float8Bits.ToSingle(bits, type);
}
