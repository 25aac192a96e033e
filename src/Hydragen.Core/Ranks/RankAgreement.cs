namespace Hydragen.Core;

/// <summary>Checks of a group.</summary>
public static class RankAgreement
{
    /// <summary>
    /// Throws when the group has failed. Numbers that were read from a device after that may be wrong, so this is asked behind every read.
    /// </summary>
    /// <exception cref="RankGroupException">It has.</exception>
    public static void ThrowIfFailed(this IRankGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (group.Failure is { } failure) throw new RankGroupException(failure);
    }

    /// <summary>Throws on every rank unless all of them give the same number.</summary>
    /// <param name="group">The group.</param>
    /// <param name="what">What the number stands for, as in "the ranks do not agree on …".</param>
    /// <param name="value">The number, such as a hash.</param>
    /// <exception cref="RankGroupException">The numbers differ, or another rank failed or is lost.</exception>
    public static void RequireSame(this IRankGroup group, string what, long value)
    {
        ArgumentNullException.ThrowIfNull(group);
        long smallest = group.Min(value), largest = ~group.Min(~value);
        if (smallest != largest) throw new RankGroupException($"The ranks do not agree on {what}; start all of them with the same files and options.");
    }
}
