using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>How a row's token is drawn; laid out as in <c>row_sample.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct RowChoice(double Random, float InverseTemperature, float MinWeight, float TopP, int TopK)
{
    /// <summary>The same in the kernel's terms.</summary>
    public static RowChoice Of(in TokenChoice choice) => choice.IsGreedy
        ? new RowChoice(0, 1, 0, 1, 1)
        : new RowChoice(choice.Random, 1 / choice.Temperature, choice.MinP, choice.TopP, choice.TopK);
}
