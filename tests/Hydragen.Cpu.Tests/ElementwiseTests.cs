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
        for (int size = 1; size <= 70; size++) OperatorConformance.Norms(backend, size);
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
            for (int size = 1; size <= 70; size++) OperatorConformance.Activation(backend, size, activation);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Activations_of_extreme_gates_stay_exact(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        OperatorConformance.ExtremeActivations(backend);
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
