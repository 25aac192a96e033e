using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class ElementwiseTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Norms_agree_with_FP64_at_every_small_size(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int size = 1; size <= 70; size++) VerifyNorms(backend, size);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_norm_in_place_gives_the_same_bits(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        float[] input = RandomTensors.Normal(new Random(1), 3 * 45);
        float[] weight = RandomTensors.Normal(new Random(2), 45, 1);
        using DeviceBuffer inputs = Upload(backend, ElementType.BFloat16, input), weights = Upload(backend, ElementType.Float32, weight);
        using DeviceBuffer outputs = backend.Allocate(ElementType.BFloat16, input.Length);
        backend.RmsNorm(inputs, 3, weights, 1e-6f, outputs);
        backend.RmsNorm(inputs, 3, weights, 1e-6f, inputs);
        Assert.Equal(Download(outputs), Download(inputs));
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Gated_activations_agree_with_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ActivationKind activation in Enum.GetValues<ActivationKind>())
        {
            for (int size = 1; size <= 70; size++) VerifyActivation(backend, size, activation);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Activations_of_extreme_gates_stay_exact(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        float[] gates = [0, -0f, 100, -100, 1e6f, -1e6f, 1e38f, -1e38f, float.NaN, 88.5f, -88.5f, 1e-30f, -1e-30f, 10, -10, 5e-3f];
        foreach (ActivationKind activation in Enum.GetValues<ActivationKind>())
        {
            float[] input = [.. gates, .. gates.Select(_ => 1f)];
            using DeviceBuffer gateUp = Upload(backend, ElementType.Float32, input), output = backend.Allocate(ElementType.Float32, gates.Length);
            backend.GatedActivation(gateUp, 1, gates.Length, activation, output);
            float[] actual = Download(output);
            for (int i = 0; i < gates.Length; i++)
            {
                if (float.IsNaN(gates[i])) Assert.True(float.IsNaN(actual[i]));
                else Assert.Equal(Activate(activation, gates[i]), actual[i], 1e-6 * Math.Abs(gates[i]) + 1e-38);
            }
        }
    }

    internal static void VerifyNorms(CpuBackend backend, int size)
    {
        ElementType type = (ElementType)(size % 3), outputType = (ElementType)(size / 3 % 3);
        var random = new Random(size);
        const int numRows = 5;
        float[] input = RandomTensors.Round(RandomTensors.Normal(random, numRows * size), type);
        float[] weight = RandomTensors.Normal(random, size, 1, 0.2f), residual = RandomTensors.Normal(random, numRows * size);
        using DeviceBuffer inputs = Upload(backend, type, input), weights = Upload(backend, ElementType.Float32, weight);
        using DeviceBuffer residuals = Upload(backend, ElementType.Float32, residual), outputs = backend.Allocate(outputType, input.Length);

        backend.RmsNorm(inputs, numRows, weights, 1e-5f, outputs);
        VerifyNorm(Array.ConvertAll(input, value => (double)value), weight, Download(outputs), outputType);

        backend.AddRmsNorm(residuals, inputs, 0.25f, numRows, weights, 1e-5f, outputs);
        float[] updated = Download(residuals);
        for (int i = 0; i < input.Length; i++)
            Assert.Equal(residual[i] + 0.25 * input[i], updated[i], 1e-7 * (Math.Abs(residual[i]) + Math.Abs(input[i])));
        VerifyNorm(Array.ConvertAll(updated, value => (double)value), weight, Download(outputs), outputType);
    }

    internal static void VerifyActivation(CpuBackend backend, int size, ActivationKind activation)
    {
        ElementType type = (ElementType)(size % 3), outputType = (ElementType)(size / 3 % 3);
        const int numRows = 3;
        float[] input = RandomTensors.Round(RandomTensors.Normal(new Random(size), numRows * 2 * size, 0, 3), type);
        using DeviceBuffer gateUp = Upload(backend, type, input), output = backend.Allocate(outputType, numRows * size);
        backend.GatedActivation(gateUp, numRows, size, activation, output);
        float[] actual = Download(output);
        for (int i = 0; i < actual.Length; i++)
        {
            double gate = input[i / size * 2 * size + i % size], up = input[i / size * 2 * size + size + i % size];
            double expected = Activate(activation, gate) * up;
            Assert.Equal(expected, actual[i], 2 * Tolerance.Elementwise * Math.Abs(expected) * (1 + Math.Abs(gate)) + Tolerance.Rounding(expected, outputType) + 1e-37);
        }
    }

    private static double Activate(ActivationKind activation, double x) => activation switch
    {
        ActivationKind.Silu => x / (1 + Math.Exp(-x)),
        ActivationKind.Gelu => x * NormalDistribution(x),
        _ => x / (1 + Math.Exp(-2 * Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
    };

    // Φ by its convergent series near 0 and its continued fraction in the tails; both to FP64 accuracy.
    private static double NormalDistribution(double x)
    {
        double magnitude = Math.Abs(x), density = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
        if (magnitude > 40) return x > 0 ? 1 : 0;
        if (magnitude < 5)
        {
            double term = x, sum = x;
            for (int n = 1; n < 200; n++) sum += term *= x * x / (2 * n + 1);
            return 0.5 + density * sum;
        }
        double fraction = 0;
        for (int n = 100; n >= 1; n--) fraction = n / (magnitude + fraction);
        double tail = density / (magnitude + fraction);
        return x > 0 ? 1 - tail : tail;
    }

    private static void VerifyNorm(double[] input, float[] weight, float[] actual, ElementType outputType)
    {
        int size = weight.Length;
        for (int row = 0; row < input.Length / size; row++)
        {
            double squares = 0;
            for (int i = 0; i < size; i++) squares += input[row * size + i] * input[row * size + i];
            double factor = 1 / Math.Sqrt(squares / size + 1e-5f);
            for (int i = 0; i < size; i++)
            {
                double expected = input[row * size + i] * factor * weight[i];
                Assert.Equal(expected, actual[row * size + i], Tolerance.Elementwise * Math.Abs(expected) + Tolerance.Rounding(expected, outputType));
            }
        }
    }

    private static DeviceBuffer Upload(CpuBackend backend, ElementType type, float[] values)
    {
        DeviceBuffer buffer = backend.Allocate(type, values.Length);
        buffer.Upload(values);
        return buffer;
    }

    private static float[] Download(DeviceBuffer buffer)
    {
        var values = new float[buffer.Length];
        buffer.Download(values);
        return values;
    }
}
