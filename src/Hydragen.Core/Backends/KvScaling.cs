namespace Hydragen.Core;

/// <summary>Where the scales of FP8 keys and values come from.</summary>
public enum KvScaling
{
    /// <summary>There are none: numbers beyond the range of the type saturate.</summary>
    None,

    /// <summary>Each key/value head gets scales that its first keys and values ask for (<see cref="KvScale.For"/>).</summary>
    Calibrated,
}

/// <summary>Facts about <see cref="KvScaling"/> values.</summary>
public static class KvScalings
{
    /// <summary>The name used by the command line: none or calibrated.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scaling"/> is not a defined value.</exception>
    public static string Name(this KvScaling scaling) => scaling switch
    {
        KvScaling.None => "none",
        KvScaling.Calibrated => "calibrated",
        _ => throw new ArgumentOutOfRangeException(nameof(scaling), scaling, "Unknown scaling."),
    };
}
