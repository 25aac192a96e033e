using Hydragen.Core;

namespace Hydragen.Cpu.Tests;

public sealed class StorageTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_16_bit_pattern_survives_the_way_to_FP32_and_back(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float16])
        {
            var values = new float[65536];
            for (int bits = 0; bits < values.Length; bits++)
                values[bits] = type == ElementType.BFloat16 ? BFloat16Bits.ToSingle((ushort)bits) : (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            using DeviceBuffer buffer = backend.Allocate(type, values.Length);
            buffer.Upload(values);
            var read = new float[values.Length];
            buffer.Download(read);
            for (int bits = 0; bits < values.Length; bits++)
            {
                if (float.IsNaN(values[bits])) Assert.True(float.IsNaN(read[bits]));
                else Assert.Equal(BitConverter.SingleToInt32Bits(values[bits]), BitConverter.SingleToInt32Bits(read[bits]));
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Rounding_is_to_nearest_ties_to_even(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var random = new Random(1);
        var values = new float[200_003];
        for (int i = 0; i < values.Length; i++) values[i] = BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue));
        // Ties of both types, the borders of the half range, and its subnormals.
        for (int i = 0; i < 60_000; i++)
        {
            int halfway = (i % 2 == 0 ? 0x8000 : 0x1000) * (random.Next(1 << 15) * 2 + 1);
            values[i] = BitConverter.Int32BitsToSingle((random.Next(90, 150) << 23) | (halfway & 0x7FFFFF));
        }
        float[] special = [0, -0f, 65504, 65519.996f, 65520, 65536, -65520, 6.1035156e-5f, 6.097555e-5f, 5.9604645e-8f, 2.9802322e-8f, 2.9802326e-8f,
            float.MaxValue, float.MinValue, float.Epsilon, float.PositiveInfinity, float.NegativeInfinity, float.NaN];
        special.CopyTo(values, 60_000);
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float16])
        {
            using DeviceBuffer buffer = backend.Allocate(type, values.Length);
            buffer.Upload(values);
            var read = new float[values.Length];
            buffer.Download(read);
            for (int i = 0; i < values.Length; i++)
            {
                float expected = type == ElementType.BFloat16 ? BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(values[i])) : (float)(Half)values[i];
                if (float.IsNaN(expected)) Assert.True(float.IsNaN(read[i]));
                else Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(read[i]));
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Parts_of_a_buffer_are_written_and_read_at_any_offset(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType type in ElementTypes.Dense)
        {
            using DeviceBuffer buffer = backend.Allocate(type, 70);
            buffer.Upload(Enumerable.Range(0, 70).Select(i => (float)i).ToArray());
            buffer.Upload([-1, -2, -3], 33);
            var read = new float[5];
            buffer.Download(read, 32);
            Assert.Equal([32, -1, -2, -3, 36], read);
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Upload(new float[3], 68));
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Download(new float[71]));
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Download(new float[1], -1));
            Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Download(new float[1], long.MaxValue));
        }
    }
}
