namespace Hydragen.Core;

/// <summary>The ranks of a group did not come together, disagree, or one of them failed or is lost. The group cannot be used any more.</summary>
public sealed class RankGroupException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What happened, and to which rank.</param>
    /// <param name="innerException">The cause, or null.</param>
    public RankGroupException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
